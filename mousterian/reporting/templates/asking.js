// "Ask it": fields and sliders -> each arm's answers. Nothing leaves the page.
const POSITIONS = 240, WAIT = 120;
const $ = (id) => document.getElementById(id);

// A slider's positions: none (if `zero`), then evenly in the logarithm, to two digits (ends exact).
function logarithmic(least, most, zero) {
  const between = geomspace(least, most, POSITIONS - (zero ? 1 : 0));
  const round = (value, i) => i === 0 || i === between.length - 1 ? value : Number(value.toPrecision(2));
  return [...new Set([...(zero ? [0] : []), ...between.map(round)])];
}

// One question's field and slider; `values` are what the slider offers, the field takes any number.
class Control {
  constructor(id, values, first) {
    this.field = $(id);
    this.slider = $(`${id}-slider`);
    this.values = values;
    this.slider.max = values.length - 1;
    this.field.value = first;
    this.follow();
    this.slider.addEventListener("input", () => {
      this.field.value = this.values[this.slider.value];
      this.follow();
      asked();
    });
    this.field.addEventListener("input", () => { this.follow(); asked(); });
  }

  get value() { return this.field.value.trim() === "" ? NaN : Number(this.field.value); }

  follow() {
    const value = this.value;
    let nearest = 0;
    this.values.forEach((each, i) => {
      if (Math.abs(each - value) < Math.abs(this.values[nearest] - value)) nearest = i;
    });
    this.slider.value = nearest;
    this.slider.setAttribute("aria-valuetext", this.field.value);
  }
}

function controls(fits) {
  const first = fits[0].first, over = (pick, value) => pick(...fits.map(value));
  const least = over(Math.min, ({bases}) => bases[0]), most = over(Math.max, ({bases}) => bases[bases.length - 1]);
  const counts = (kind) => logarithmic(1, over(Math.max, (fit) => fit.most[kind]), true);
  return {
    n_base: new Control("n_base", logarithmic(least, most, false), first.n_base),
    n_real_plus: new Control("n_real_plus", counts("real"), first.n_real_plus),
    n_syn_plus: new Control("n_syn_plus", counts("synthetic"), first.n_syn_plus),
  };
}

// What is wrong with a question, as the command line says it; "" if nothing.
function wrong(question) {
  for (const [name, value] of Object.entries(question)) {
    if (!Number.isFinite(value) || value < 0) {
      const given = Number.isNaN(value) ? "nothing that is a number" : String(value);
      return `${name} is ${given}; it must be a finite number and not negative`;
    }
  }
  return "";
}

function element(tag, text, name) {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  if (name) made.className = name;
  return made;
}

// Words and numbers in turn, the numbers strong; and how far the answer holds.
function told(kind, parts, trust, conditional = "") {
  const line = element("p", "", "told");
  line.dataset.kind = kind;
  parts.forEach((part, i) => {
    line.append(i % 2 ? element("strong", part) : part, i + 1 < parts.length && parts[i + 1] !== "." ? " " : "");
  });
  const range = [RANGE[trust], conditional].filter(Boolean).join("; ");
  if (range) line.append(" ", element("span", range, `range ${trust}`));
  return line;
}

// What an arm answers, and the lines that say so; null at a base or a count that its curves do not have.
function answersOf(fit, {n_base: base, n_real_plus: real, n_syn_plus: syn}) {
  if (!fit.curves.holds(base, real, syn)) return null;
  const curves = fit.curves.at(base), forward = curves.equivalence("real", real);
  const backward = curves.equivalence("synthetic", syn), rate = curves.rate();
  const added = {
    real: {count: real, ...forward.accuracy, trust: curves.trust(real, 0)},
    synthetic: {count: syn, ...backward.accuracy, trust: curves.trust(0, syn)},
  };
  const lines = [
    ["forward", forwardSentence(fit, forward), forward.trust],
    ["backward", backwardSentence(fit, backward), backward.trust],
    ["rate", rateSentence(base, rate), rate.trust],
    ...Object.entries(added).map(([kind, found]) => [kind, accuracySentence(base, kind, found), found.trust]),
  ];
  return {forward, backward, rate, ...added, lines};
}

function shownOf(fit, question) {
  const found = answersOf(fit, question);
  if (found) return found.lines.map(([kind, parts, trust]) => told(kind, parts, trust, fit.conditional));
  return [told("outside", [outsideSentence(fit)], "")];
}

// The same questions for the command line, and those that it alone answers.
function commands(fits, {n_base: base, n_real_plus: real, n_syn_plus: syn}) {
  const fit = fits.find((each) => each.curves.base === base);
  const target = fit ? fixed(100 * fit.curves.predict("real", real).estimate, 1) : "PERCENT";
  return [
    `mousterian equivalence FIT --n-base ${base} --n-real-plus ${real}`,
    `mousterian equivalence FIT --n-base ${base} --n-syn-plus ${syn}`,
    `mousterian rate FIT --n-base ${base} --n-real-plus ${real} --n-syn-plus ${syn}`,
    `mousterian predict FIT --n-base ${base} --n-real-plus ${real} --n-syn-plus ${syn}`,
    `mousterian plan FIT --n-base ${base} --target-accuracy ${target} --real-cost 1 --syn-cost 0.05`,
  ].join("\n");
}

const page = {fits: [], controls: {}, turn: 0, waiting: 0};

// Answers come arm by arm; a new question ends the work on an old one.
function answerAll() {
  const turn = page.turn += 1, question = {};
  for (const [name, control] of Object.entries(page.controls)) question[name] = control.value;
  const trouble = wrong(question);
  $("trouble").textContent = trouble;
  $("answers").dataset.state = trouble ? "refused" : "working";
  if (trouble) return;
  const work = page.fits.map((fit) => () => fit.place.replaceChildren(...shownOf(fit, question)));
  work.push(() => { $("commands").textContent = commands(page.fits, question); });
  const next = () => {
    if (turn !== page.turn) return;
    const job = work.shift();
    if (job) { job(); setTimeout(next, 0); } else $("answers").dataset.state = "ready";
  };
  next();
}

function asked() {
  $("answers").dataset.state = "working";
  clearTimeout(page.waiting);
  page.waiting = setTimeout(answerAll, WAIT);
}

function startAsking() {
  const data = $("fits");
  if (!data) return;
  page.fits = JSON.parse(data.textContent);
  for (const fit of page.fits) {
    fit.curves = new Curves(fit);
    fit.place = $("answers").querySelector(`[data-arm="${fit.anchor}"] .worth`);
  }
  page.controls = controls(page.fits);
  $("asking").hidden = false;
  asked();
}
startAsking();
