// Talks to the server. An answer that is an error becomes a Refused with the server's words.

export class Refused extends Error {
  constructor(words, status, after) {
    super(words);
    this.status = status;
    this.after = after;
  }
}

export async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Refused("the server does not answer", 0);
  }
  if (!answer.ok) {
    let words = answer.statusText;
    try {
      words = (await answer.json()).error;
    } catch { /* no JSON: the status must do */ }
    throw new Refused(words, answer.status, Number(answer.headers.get("retry-after")));
  }
  return answer.status === 204 ? null : answer.json();
}

// As ask, but waits while the queue is full.
export async function askPatiently(path, options, goOn = () => true) {
  for (;;) {
    try {
      return await ask(path, options);
    } catch (error) {
      if (error.status !== 503 || !goOn()) throw error;
      await new Promise((done) => setTimeout(done, 1000 * (error.after || 1)));
    }
  }
}

export function handIn(file) {
  const form = new FormData();
  form.append("file", file, file.name || "pasted.png");
  form.append("start", "no");
  return ask("jobs", { method: "POST", body: form });
}

export function start(id, options, goOn) {
  const headers = { "content-type": "application/json" };
  const body = JSON.stringify(options);
  return askPatiently(`jobs/${id}/start`, { method: "POST", headers, body }, goOn);
}

export const cancel = (id) => ask(`jobs/${id}/cancel`, { method: "POST" });
export const remove = (id) => ask(`jobs/${id}`, { method: "DELETE" });
export const clear = () => ask("jobs", { method: "DELETE" });
export const putMask = (id, picture) => ask(`jobs/${id}/mask`, { method: "PUT", body: picture });
export const dropMask = (id) => ask(`jobs/${id}/mask`, { method: "DELETE" });

// Calls back with every change of this browser's pictures, and with whether the server is there.
export function listen(onNews, onPresence) {
  let source = null;
  let later = 0;
  const open = () => {
    clearTimeout(later);
    source?.close();
    source = new EventSource("events");
    source.addEventListener("hello", () => onPresence(true));
    source.addEventListener("news", (event) => {
      onNews(JSON.parse(event.data));
      if (document.hidden) pause();
    });
    source.addEventListener("error", () => onPresence(false));
  };
  // A browser has six connections to a server for all its tabs: hidden ones look now and then.
  const pause = () => {
    source.close();
    clearTimeout(later);
    later = setTimeout(open, 5000);
  };
  document.addEventListener("visibilitychange", () => (document.hidden ? pause() : open()));
  open();
}
