// States and times as people say them.

export function time(seconds) {
  if (seconds < 5) return "a few seconds";
  if (seconds < 90) return `${5 * Math.round(seconds / 5)} seconds`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} minutes`;
  return `${(seconds / 3600).toFixed(1)} hours`;
}

export const percent = (share) => `${Math.round(100 * share)} %`;

export function state(job) {
  if (job.state === "running") {
    const left = job.seconds_left === null ? "" : `, about ${time(job.seconds_left)} left`;
    return percent(job.share) + left;
  }
  if (job.state === "done") return `done in ${job.seconds.toFixed(1)} s`;
  return {
    ready: job.width ? "not restored yet" : "being read",
    waiting: "waiting",
    failed: "not restored",
    cancelled: "cancelled",
  }[job.state];
}

export function facts(job) {
  const before = job.width ? `${job.width} × ${job.height}` : "";
  if (!job.result) return before;
  const { name, width, height, masked } = job.result;
  return `${before} → ${width} × ${height}, ${name}${masked ? ", within your marks" : ""}`;
}

export function overall(jobs, queue, adding) {
  const parts = [];
  if (adding) parts.push(adding === 1 ? "adding a picture" : `adding ${adding} pictures`);
  const busy = queue.waiting + queue.running;
  const done = jobs.filter((job) => job.state === "done").length;
  if (done || busy) parts.push(`${done} of ${jobs.length} done`);
  if (busy && queue.seconds_left !== null) parts.push(`about ${time(queue.seconds_left)} left`);
  return parts.join(", ");
}
