// Numbers and answers in words, as mousterian/wording.py and answers.py write them.
const NBSP = "\u00a0", BEYOND_SYNTHETIC = "worth more than any number of synthetic ones";
const RANGE = {inside: "inside the data", near: "near the data", extrapolated: "extrapolated"};

// To `digits` decimals, ties to even, with commas: what Python's f"{value:,.{digits}f}" gives.
function fixed(value, digits = 0) {
  let text = Math.abs(value).toFixed(digits);
  const scaled = Math.abs(value) * 10 ** digits;
  if (scaled < 1e9 && scaled % 1 === 0.5 && Math.floor(scaled) % 2 === 0) {
    text = (Math.floor(scaled) / 10 ** digits).toFixed(digits);
  }
  const [whole, part] = text.split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return (value < 0 ? "-" : "") + (part ? `${grouped}.${part}` : grouped);
}

// Rounded to `digits` significant ones, ties to even, as Python's round() does.
function significantly(value, digits) {
  const unit = 10 ** (Math.floor(Math.log10(value)) + 1 - digits), scaled = value / unit;
  if (scaled % 1 === 0.5 && unit >= 1) return (Math.floor(scaled) + Math.floor(scaled) % 2) * unit;
  return Number(value.toPrecision(digits));
}

function signed(value, digits = 2) {
  if (value === Infinity || value === -Infinity) return value > 0 ? "∞" : "−∞";
  return Number.isNaN(value) ? "unknown" : fixed(value, digits).replace(/,/g, "").replace("-", "−");
}

function scientific(value, digits = 3) {
  if (value === 0 || !Number.isFinite(value)) return signed(value, 0);
  const size = Math.abs(value);
  if (size >= 1e-3 && size < 1e6) {
    return fixed(value, Math.max(digits - 1 - Math.floor(Math.log10(size)), 0)).replace("-", "−");
  }
  const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
  const raised = String(Number(exponent)).replace(/./g, (c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]);
  return `${mantissa} × 10${raised}`.replace("-", "−");
}

function number(value) { return Math.abs(value) < 1e9 ? fixed(value) : scientific(value, 2); }
function percent(value, digits = 1) { return `${fixed(100 * value, digits)}${NBSP}%`; }
function percents({estimate, low, high}, digits = 1) {
  const [middle, least, most] = [estimate, low, high].map((part) => fixed(100 * part, digits));
  return `${middle} (${least}–${most})${NBSP}%`;
}

function counts(interval) {
  return toldApart(interval, (value, digits) => {
    if (!Number.isFinite(value)) return number(value);
    if (value > 0 && value < 1) return "<1";
    return number(value >= 100 ? significantly(value, digits) : value);
  });
}

function rates(interval) {
  return toldApart(interval, (value, digits) => {
    if (!Number.isFinite(value) || value <= 0) return signed(value, 0);
    if (value < 0.01) return "<0.01";
    const places = digits - 1 - Math.floor(Math.log10(value));
    return fixed(places < 0 ? significantly(value, digits) : value, Math.max(places, 0));
  });
}

function toldApart({estimate, low, high}, write) {
  const parts = [estimate, low, high];
  let shown = [];
  for (const digits of [2, 3, 4]) {
    shown = parts.map((value) => write(value, digits));
    if (new Set(shown).size === new Set(parts).size) break;
  }
  const [middle, least, most] = shown;
  if (most === "∞") {
    const none = ["0", "<1", "<0.01"].includes(least);
    return `${middle} (${none ? "not determined" : `at least ${least}`})`;
  }
  return `${middle} (${least.includes("−") ? `${least} to ${most}` : `${least}–${most}`})`;
}

// What synthetic images alone do to a base; null where none were tried on it.
function alone(fit, base) {
  const most = fit.sound[base]?.[1] ?? 0;
  return most ? fit.averaged.decline(base, most) : null;
}

// From where on synthetic images alone do harm and down to what; "" where that is not clear.
function harm(fit, base) {
  const found = alone(fit, base);
  if (!found?.clear) return "";
  const [least, most] = fit.sound[base];
  const down = `to ${percents(found.last)} with ${number(most)}, the most that were tried.`;
  if (found.best - found.alone < NOTICED || found.count < least) {
    return ` Synthetic images alone do harm: accuracy falls from ${percent(found.alone)} without them ${down}`;
  }
  const about = number(significantly(found.count, 2));
  return ` Beyond about ${about}, synthetic images alone do harm: accuracy falls from ${percent(found.best)} ${down}`;
}

// What synthetic images bring a base to: as far as was tried, and as far as the fit reaches.
function atBest(fit, {n_base: base, saturation_accuracy: saturation}) {
  const found = alone(fit, base), best = `${percent(saturation)} at best`;
  if (!found?.open) return `they bring accuracy to ${best}`;
  return `the ${number(fit.sound[base][1])} that were tried bring accuracy to ${percents(found.last)}, `
    + `any number of them, by extrapolation, to ${best}`;
}

// An equivalence as [words before the number, the number, words after it].
function forwardSentence(fit, found) {
  const at = `At ${number(found.n_base)} base images,`, real = `${number(found.n_real_plus)} more real`;
  const source = fit.generator ? ` from ${fit.generator}` : "", syn = found.n_syn_plus;
  if (syn === null && found.saturation_accuracy >= found.accuracy.estimate) {
    const share = percent(found.share_reachable, 0);
    return [at, "no number", `of synthetic images${source} can be told to be worth ${real} ones: some number`
      + ` is in ${share} of the draws.`];
  }
  if (syn === null) {
    return [at, "no number", `of synthetic images${source} is worth ${real} ones: ${atBest(fit, found)}, `
      + `the real ones to ${percents(found.accuracy)}.`
      + harm(fit, found.n_base)];
  }
  const lead = `${at} ${real} images are worth`, worth = counts(syn), most = fit.tried[found.n_base] ?? NaN;
  if (found.trust === "extrapolated" && most > 0 && most < syn.low) {
    return [lead, `more than ${number(most)}`,
      `synthetic ones${source}, the most that were tried; extrapolated, ${worth}.`];
  }
  const cut = worth.indexOf(" ");
  return [lead, worth.slice(0, cut), `${worth.slice(cut + 1)} synthetic ones${source}.`];
}

function backwardSentence(fit, found) {
  const given = number(found.n_syn_plus), real = found.n_real_plus;
  const worth = real ? counts(real) : `more than ${number(fit.most_real)}`, cut = worth.lastIndexOf(" (");
  const [shown, rest] = real ? [worth.slice(0, cut), `${worth.slice(cut + 1)} real ones.`] : [worth, "real ones."];
  return [`At ${number(found.n_base)} base images, ${given} more synthetic images are worth`, shown, rest];
}

function rateSentence(base, real, syn, {marginal_rate: rate}) {
  const at = `At ${number(base)} base, ${number(real)} more real and ${number(syn)} synthetic`;
  const lead = `${at} images, one more real image is`;
  if (!Number.isFinite(rate.estimate)) return [lead, BEYOND_SYNTHETIC, "."];
  const worth = rates(rate), cut = worth.indexOf(" ");
  return [`${lead} worth`, worth.slice(0, cut), `${worth.slice(cut + 1)} synthetic ones.`];
}

// A plan as lines; the first is [words, number, words] too.
function planLines(made) {
  const goal = percent(made.target_accuracy, 2);
  if (!made.reachable) {
    const short = made.accuracy.estimate < made.target_accuracy;
    const why = short ? `the best is ${percents(made.accuracy, 2)}`
      : `some mixture reaches it in ${percent(made.chance, 0)} of the draws`;
    return [[`${goal} is`, "not reachable", `within the limits; ${why}`]];
  }
  const alone = [["real", made.cost_of_real_alone], ["synthetic", made.cost_of_synthetic_alone]];
  return [
    [`for ${goal}, add`, counts(made.n_real_plus), "real and", counts(made.n_syn_plus),
      `synthetic images: cost ${counts(made.cost)}`],
    ...alone.map(([kind, cost]) => [
      `${kind} images alone: ${cost === null ? "not enough" : `cost ${number(cost)}`}`]),
    [`this mixture reaches it in ${percent(made.chance, 0)} of the draws`],
  ];
}
