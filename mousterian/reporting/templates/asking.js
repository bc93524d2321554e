// "Ask it": fields and sliders -> each arm's answers. Nothing leaves the page.
const POSITIONS = 240, WAIT = 120;
const $ = (id) => document.getElementById(id);

// A slider's positions: none (if `zero`), then evenly in the logarithm, to two digits (ends exact).
function logarithmic(least, most, zero) {
  const between = geomspace(least, most, POSITIONS - (zero ? 1 : 0));
  const round = (value, i) => i === 0 || i === between.length - 1 ? value : Number(value.toPrecision(2));
  return [...(zero ? [0] : []), ...between.map(round)];
}

function linear(least, most, step) {
  const count = Math.round((most - least) / step) + 1;
  return Array.from({length: count}, (_, i) => Number((least + i * step).toFixed(6)));
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
  const first = fits[0].first, over = (key, pick) => pick(...fits.map((fit) => fit[key]));
  const least = Math.max(over("least_base", Math.min) / 2, 1), most = 2 * over("most_base", Math.max);
  const averaged = fits[0].averaged, reached = averaged.estimate(first.n_base, first.n_real_plus, 0);
  const goal = Math.min(Math.max(Math.round(1000 * reached) / 10, 2), 99.9);
  return {
    n_base: new Control("n_base", logarithmic(Math.round(least), Math.round(most), false), first.n_base),
    n_real_plus: new Control("n_real_plus", logarithmic(1, over("most_real", Math.max), true), first.n_real_plus),
    n_syn_plus: new Control(
      "n_syn_plus", logarithmic(1, over("most_synthetic", Math.max), true), first.n_syn_plus),
    target: new Control("target", linear(2, 99.9, 0.1), goal),
    real_cost: new Control("real_cost", logarithmic(0.001, 100, true), 1),
    syn_cost: new Control("syn_cost", logarithmic(0.0001, 10, true), 0.05),
  };
}

// What is wrong with a question, as the command line says it; "" if nothing.
function wrong(question) {
  for (const [name, value] of Object.entries(question)) {
    if (name === "target") continue;
    if (!Number.isFinite(value) || value < 0) {
      const given = Number.isNaN(value) ? "nothing that is a number" : String(value);
      return `${name} is ${given}; it must be a finite number and not negative`;
    }
  }
  const target = fraction(question.target);
  if (target > 0 && target < 1) return "";
  return `target accuracy ${question.target} is not between 0 and 1 (or 0 and 100 %)`;
}

// As the command line takes it: percent if above 1.
function fraction(accuracy) { return accuracy > 1 ? accuracy / 100 : accuracy; }

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

function answersOf(fit, {n_base: base, n_real_plus: real, n_syn_plus: syn}) {
  const forward = equivalence(fit, base, real, true), backward = equivalence(fit, base, syn, false);
  const rate = marginalRate(fit, base, real, syn), both = fit.averaged.predict(base, real, syn);
  const trust = fit.averaged.measured.trust(base, real, syn);
  fit.answers = {forward, backward, rate, both: {...both, trust}};
  return [
    told("forward", forwardSentence(fit, forward), forward.trust, fit.conditional),
    told("backward", backwardSentence(fit, backward), backward.trust, fit.conditional),
    told("rate", rateSentence(base, real, syn, rate), rate.trust, fit.conditional),
    told("both", ["All of them together reach", percents(both, 2), "test accuracy."], trust, fit.conditional),
  ];
}

function planOf(fit, question) {
  const target = fraction(question.target), key = `${question.n_base} ${target}`;
  if (fit.kept?.key !== key) fit.kept = {key, found: mixtures(fit, question.n_base, target)};
  const made = plan(fit, question.n_base, target, question.real_cost, question.syn_cost, fit.kept.found);
  fit.answers.plan = made;
  return planLines(made).map((parts, i) =>
    i ? told("plan", parts, "") : told("plan", parts, made.reachable ? made.trust : "", fit.conditional));
}

function commands({n_base: base, n_real_plus: real, n_syn_plus: syn, target, real_cost: priceReal,
                   syn_cost: priceSyn}) {
  return [
    `mousterian equivalence FIT --n-base ${base} --n-real-plus ${real}`,
    `mousterian equivalence FIT --n-base ${base} --n-syn-plus ${syn}`,
    `mousterian rate FIT --n-base ${base} --n-real-plus ${real} --n-syn-plus ${syn}`,
    `mousterian predict FIT --n-base ${base} --n-real-plus ${real} --n-syn-plus ${syn}`,
    `mousterian plan FIT --n-base ${base} --target-accuracy ${target} --real-cost ${priceReal}`
      + ` --syn-cost ${priceSyn}`,
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
  $("commands").textContent = commands(question);
  const work = page.fits.flatMap((fit) => [
    () => fit.place.querySelector(".worth").replaceChildren(...answersOf(fit, question)),
    () => fit.place.querySelector(".plan").replaceChildren(...planOf(fit, question)),
  ]);
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
    fit.averaged = new Averaged(fit);
    fit.place = $("answers").querySelector(`[data-arm="${fit.anchor}"]`);
  }
  page.controls = controls(page.fits);
  $("asking").hidden = false;
  asked();
}
startAsking();
