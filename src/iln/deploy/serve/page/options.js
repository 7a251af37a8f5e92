// What the picture is, in people's words, and everything else that `iln restore` can be told.

const DEFAULTS = { strength: 1, quality: 95, precision: "auto", engine: "auto", size: "", format: "",
  memory: "", unfade: false, allow_damaged: false };
const FILE = "file:";
const USES = { "research only": "private, research" };

export class Options {
  // models: of the catalogue; files: whether files of this computer may be named.
  constructor(form, { models, standard, files, onChange }) {
    this.form = form;
    this.models = models;
    this.files = files;
    this.standard = standard;
    this.rows = document.getElementById("models");
    const choices = document.getElementById("choices");
    choices.append(...models.map((model) => this.card(model)));
    document.getElementById("add-model").addEventListener("click", () => {
      this.addRow(this.standard).querySelector("select").focus();
      this.changed(onChange);
    });
    form.addEventListener("input", (event) => {
      if (event.target.name === "choice") this.setModels([event.target.value]);
      this.changed(onChange);
    });
    this.write({});
  }

  changed(onChange) {
    this.mark();
    onChange(this.read());
  }

  card(model) {
    const label = document.createElement("label");
    label.className = "choice";
    const radio = Object.assign(document.createElement("input"),
      { type: "radio", name: "choice", value: model.name });
    const image = Object.assign(document.createElement("img"),
      { src: `page/examples/${model.name}.webp`, alt: "", width: 226, height: 112 });
    const text = document.createElement("span");
    text.textContent = model.picture;
    if (model.commercial !== "yes") {
      const terms = document.createElement("small");
      terms.textContent = `use: ${USES[model.commercial] ?? model.commercial}`;
      text.append(terms);
    }
    label.append(radio, image, text);
    return label;
  }

  addRow(model) {
    const row = document.createElement("li");
    const line = document.createElement("div");
    const select = document.createElement("select");
    select.setAttribute("aria-label", "Model");
    for (const { name, does } of this.models) select.add(new Option(`${name}: ${does}`, name));
    if (this.files) select.add(new Option("a file on this computer", FILE));
    const known = this.models.some(({ name }) => name === model);
    select.value = known ? model : FILE;
    const file = Object.assign(document.createElement("input"),
      { value: known ? "" : model, placeholder: "/path/to/model.safetensors", autocomplete: "off" });
    file.setAttribute("aria-label", "File of weights");
    const away = Object.assign(document.createElement("button"), { type: "button", textContent: "×" });
    away.setAttribute("aria-label", "Remove this model");
    away.addEventListener("click", () => {
      row.remove();
      this.form.dispatchEvent(new Event("input"));
    });
    line.append(select, away);
    row.append(line, file);
    this.rows.append(row);
    return row;
  }

  setModels(names) {
    this.rows.replaceChildren();
    for (const name of names) this.addRow(name);
  }

  // What belongs together agrees.
  mark() {
    const rows = [...this.rows.children];
    for (const row of rows) {
      row.querySelector("input").hidden = row.querySelector("select").value !== FILE;
      row.querySelector("button").disabled = rows.length === 1;
    }
    const names = this.chosen();
    for (const radio of this.form.querySelectorAll("[name=choice]")) {
      radio.checked = names.length === 1 && radio.value === names[0];
    }
    const strength = this.form.elements.strength;
    document.getElementById("strength-value").value = `${Math.round(100 * strength.value)} %`;
  }

  chosen() {
    return [...this.rows.children].map((row) => {
      const { value } = row.querySelector("select");
      return value === FILE ? row.querySelector("input").value.trim() : value;
    });
  }

  read() {
    const found = { model: this.chosen() };
    for (const [name, usual] of Object.entries(DEFAULTS)) {
      const field = this.form.elements[name];
      let value = field.type === "checkbox" ? field.checked : field.value.trim();
      if (typeof usual === "number") value = value === "" ? usual : Number(value);
      if (value !== usual) found[name] = value;
    }
    return found;
  }

  write(options) {
    const models = options.model ?? [this.standard];
    this.setModels(models);
    for (const [name, usual] of Object.entries(DEFAULTS)) {
      const field = this.form.elements[name];
      const value = options[name] ?? usual;
      if (field.type === "checkbox") field.checked = value;
      else field.value = value;
    }
    this.mark();
  }
}
