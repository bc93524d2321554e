// Numbers and answers in words, as answers/numbers.py and answers/wording.py write them.
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
    const told = shown.map((text, i) => text.startsWith("<") ? parts[i] : text);
    if (new Set(told).size === new Set(parts).size) break;
  }
  const [middle, least, most] = shown;
  if (most === "∞") {
    const none = ["0", "<1", "<0.01"].includes(least);
    return `${middle} (${none ? "not determined" : `at least ${least}`})`;
  }
  return `${middle} (${least.includes("−") ? `${least} to ${most}` : `${least}–${most}`})`;
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
    const reached = fit.reached[found.n_base] ?? "they bring accuracy to", harm = fit.harm[found.n_base];
    return [at, "no number", `of synthetic images${source} is worth ${real} ones: ${reached}`
      + ` ${percent(found.saturation_accuracy)} at best, the real ones to ${percents(found.accuracy)}.`
      + (harm ? ` ${harm}` : "")];
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
  const worth = real ? counts(real) : `more than ${number(fit.most.real)}`, cut = worth.lastIndexOf(" (");
  const [shown, rest] = real ? [worth.slice(0, cut), `${worth.slice(cut + 1)} real ones.`] : [worth, "real ones."];
  return [`At ${number(found.n_base)} base images, ${given} more synthetic images are worth`, shown, rest];
}

function rateSentence(base, {marginal_rate: rate}) {
  const lead = `At ${number(base)} base, 0 more real and 0 synthetic images, one more real image is`;
  if (!Number.isFinite(rate.estimate)) return [lead, BEYOND_SYNTHETIC, "."];
  const worth = rates(rate), cut = worth.indexOf(" ");
  return [`${lead} worth`, worth.slice(0, cut), `${worth.slice(cut + 1)} synthetic ones.`];
}

function accuracySentence(base, kind, found) {
  const given = `${number(found.count)} more ${kind} images alone`;
  return [`At ${number(base)} base images, ${given} reach`, percents(found, 2), "test accuracy."];
}

function outsideSentence({bases, most}) {
  const [least, largest] = [bases[0], bases[bases.length - 1]].map(number);
  const range = least === largest ? `${least} base images, where` : `${least} to ${largest} base images, between which`;
  return `This page answers at ${range} synthetic images were measured, for up to ${number(most.real)} more real`
    + ` and ${number(most.synthetic)} more synthetic images. The command line answers elsewhere.`;
}
