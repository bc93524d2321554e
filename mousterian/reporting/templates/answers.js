// What a fit answers, as mousterian/equivalence.py and planning.py do: the same draws, the same searches.
// SURFACES, above, is translated from the surfaces' Python. Names are those of the Python functions.
const LEVEL = 0.95, NEAR = Math.log(2), SLACK = Math.log(1.05), FAR = Math.log(1e4);
const GRID = 40, HALVINGS = 34, STEPS = 61, DRAWS = 200, FURTHER = 4, KEPT = 64, NOTICED = 0.001;
const NOWHERE = {past: [0, 0]};

function logaddexp(a, b) {
  if (a === b) return a + Math.LN2;
  return Math.max(a, b) + Math.log1p(Math.exp(-Math.abs(a - b)));
}

function geomspace(start, stop, count) {
  const low = Math.log10(start), step = (Math.log10(stop) - low) / (count - 1);
  const found = Array.from({length: count}, (_, i) => 10 ** (low + i * step));
  found[0] = start;
  found[count - 1] = stop;
  return found;
}

function interpolate(x, xs, ys) {
  const last = xs.length - 1;
  if (x <= xs[0]) return ys[0];
  if (x >= xs[last]) return ys[last];
  let i = 0;
  while (x >= xs[i + 1]) i += 1;
  return (ys[i + 1] - ys[i]) / (xs[i + 1] - xs[i]) * (x - xs[i]) + ys[i];
}

// fitting/interval.py: the percentile interval of draws, widened to hold the estimate.
function ofDraws(estimate, draws, least = -Infinity, most = Infinity) {
  const ordered = Float64Array.from(draws, (value) => Number.isNaN(value) ? Infinity : value).sort();
  const tail = (1 - LEVEL) / 2, end = ordered.length - 1;
  const low = ordered[Math.floor(tail * end)], high = ordered[Math.ceil((1 - tail) * end)];
  const within = (value) => Math.min(Math.max(value, least), most);
  return {
    estimate: within(estimate), low: within(Math.min(low, estimate)), high: within(Math.max(high, estimate)),
  };
}

// fitting/averaged.py, bracket: the least count up to `most` at which `accuracy` reaches the target.
function bracket(accuracy, target, most) {
  if (accuracy(0) >= target) return 0;
  if (!(most > 0)) return Infinity;
  const grid = tried(most);
  let left = 0, right = Infinity;
  for (const count of grid) {
    if (accuracy(count) >= target) { right = count; break; }
    left = count;
  }
  if (right === Infinity) return Infinity;
  for (let i = 0; i < HALVINGS; i += 1) {
    const middle = (left + right) / 2;
    if (accuracy(middle) >= target) right = middle; else left = middle;
  }
  return right;
}

const GRIDS = new Map();
function tried(most) {
  if (!GRIDS.has(most)) GRIDS.set(most, geomspace(Math.min(1, most / 2), most, GRID));
  return GRIDS.get(most);
}

// fitting/measured.py: the range that was measured, in logarithms of counts.
class Measured {
  constructor({real, bases, synthetic}) { Object.assign(this, {real, bases, synthetic}); }
  static log(count) { return Math.log(Math.max(count, 1)); }

  past(base, real, syn) {
    const all = Measured.log(base + real), size = Measured.log(base), bases = this.bases;
    const inReal = Math.max(all - this.real[1], this.real[0] - all, 0);
    if (syn <= 0) return [inReal, 0];
    if (!bases.length) return [inReal, FAR];
    const aside = Math.max(size - bases[bases.length - 1], bases[0] - size);
    const beyond = Measured.log(syn) - interpolate(size, bases, this.synthetic);
    return [inReal, Math.min(Math.max(aside, beyond, 0), FAR)];
  }

  inside(base, real, syn) {
    const least = Math.exp(this.real[0]), most = Math.exp(this.real[1]), bases = this.bases;
    if (bases.length && syn > 0) {
      const low = Math.exp(bases[0]), high = Math.exp(bases[bases.length - 1]);
      base = Math.min(Math.max(base, low > 1 ? low : 0), high);
    }
    base = Math.min(base, most);
    real = Math.min(real, most - base);
    base += Math.max((least > 1 ? least : 0) - base - real, 0);
    const limit = bases.length ? Math.exp(interpolate(Measured.log(base), bases, this.synthetic)) : 0;
    return [base, real, Math.min(syn, limit)];
  }

  trust(base, real, syn) {
    if (![base, real, syn].every(Number.isFinite)) return "extrapolated";
    const past = Math.max(...this.past(base, real, syn));
    return past <= SLACK ? "inside" : past <= NEAR ? "near" : "extrapolated";
  }
}

// fitting/averaged.py and beyond.py: weighted surfaces; draw i belongs to one of them.
class Averaged {
  constructor(fit) {
    this.measured = new Measured(fit.measured);
    this.members = fit.members.map((each) => ({...each, formula: SURFACES[each.surface]}));
    this.owner = [];
    this.draws = [];
    for (const member of this.members) {
      for (const theta of member.draws) { this.owner.push(member.formula.accuracy); this.draws.push(theta); }
    }
    this.count = this.draws.length;
    this.last = {points: new Map()};
    this.mostSynthetic = fit.most_synthetic;
    this.mostReal = fit.most_real;
    this.beyond = fit.beyond && {
      ...fit.beyond, formulas: fit.beyond.surfaces.map((name) => SURFACES[name]),
    };
  }

  estimate(base, real, syn) {
    const at = this.beyond ? this.measured.inside(base, real, syn) : [base, real, syn];
    let found = 0;
    for (const each of this.members) found += each.weight * each.formula.accuracy(...at, each.theta);
    if (!this.beyond) return found;
    let added = 0;
    this.beyond.formulas.forEach((formula, i) => {
      added += this.beyond.weights[i] * gain(formula, this.beyond.thetas[i], [base, real, syn], at);
    });
    return found + added;
  }

  // How far past the range a point lies and the nearest inside: all draws ask it of the same points.
  placed(base, real, syn) {
    const last = this.last;
    if (last.base !== base || last.real !== real) this.last = {base, real, points: new Map()};
    const points = this.last.points;
    let found = points.get(syn);
    if (!found) {
      found = {past: this.measured.past(base, real, syn), at: this.measured.inside(base, real, syn)};
      if (points.size < KEPT) points.set(syn, found);
    }
    return found;
  }

  drawn(i, base, real, syn) {
    const {past, at} = this.beyond ? this.placed(base, real, syn) : NOWHERE;
    if (past[0] === 0 && past[1] === 0) return this.owner[i](base, real, syn, this.draws[i]);
    const {choice, slopes, shocks} = this.beyond, follows = choice[i], slope = slopes[follows];
    return this.owner[i](at[0], at[1], at[2], this.draws[i])
      + gain(this.beyond.formulas[follows], this.beyond.thetas[follows], [base, real, syn], at)
      + slope[0] * shocks[i][0] * past[0] + slope[1] * shocks[i][1] * past[1];
  }

  every(found) { return Float64Array.from({length: this.count}, (_, i) => found(i)); }

  predict(base, real, syn) {
    return ofDraws(this.estimate(base, real, syn), this.every((i) => this.drawn(i, base, real, syn)), 0, 1);
  }

  reaching(target, path, most) {
    return [
      bracket((count) => this.estimate(...path(count)), this.estimate(...target), most),
      this.every((i) => bracket((count) => this.drawn(i, ...path(count)), this.drawn(i, ...target), most)),
    ];
  }

  syntheticFor(base, real) {
    const only = this.members[0];
    if (!this.beyond && this.members.length === 1 && only.formula.equivalent) {
      const capped = (value) => value <= this.mostSynthetic ? value : Infinity;
      const exact = (theta) => capped(only.formula.equivalent(base, real, theta));
      return [exact(only.theta), this.every((i) => exact(this.draws[i]))];
    }
    return this.reaching([base, real, 0], (count) => [base, 0, count], this.mostSynthetic);
  }

  realFor(base, syn) {
    if (syn !== 0 && !(this.mostSynthetic > 0)) return [Infinity, this.every(() => Infinity)];
    return this.reaching([base, 0, syn], (count) => [base, count, 0], this.mostReal);
  }

  alone(base) {
    const grid = this.mostSynthetic ? [0, ...geomspace(1, this.mostSynthetic, 200)] : [0];
    return [grid, grid.map((count) => this.estimate(base, 0, count))];
  }

  saturation(base) { return Math.min(Math.max(Math.max(...this.alone(base)[1]), 0), 1); }

  // What `tried` synthetic images do beside the number that is best.
  decline(base, tried) {
    const [grid, reached] = this.alone(base), best = Math.max(...reached), count = grid[reached.indexOf(best)];
    const lost = this.every((i) => this.drawn(i, base, 0, count) - this.drawn(i, base, 0, tried));
    const drop = ofDraws(best - this.estimate(base, 0, tried), lost);
    const clear = count < tried && drop.low > 0 && drop.estimate >= NOTICED;
    const last = this.predict(base, 0, tried), open = count > tried && best - last.estimate >= NOTICED;
    return {count, alone: reached[0], best, last, clear, open};
  }
}

function gain(formula, theta, point, inner) {
  const start = formula.accuracy(inner[0], inner[1], inner[2], theta);
  const end = formula.accuracy(point[0], point[1], point[2], theta);
  return Math.min(Math.max(end, Math.min(start, 0)), Math.max(start, 1)) - start;
}

// equivalence.py: what real images are worth in synthetic ones (`forward`), or the other way round.
function equivalence(fit, base, count, forward) {
  const averaged = fit.averaged;
  const [estimate, draws] = forward ? averaged.syntheticFor(base, count) : averaged.realFor(base, count);
  const share = draws.filter(Number.isFinite).length / draws.length;
  const reachable = Number.isFinite(estimate) && share >= 0.5;
  const answer = reachable ? ofDraws(estimate, draws) : null;
  const real = forward ? count : answer ? answer.estimate : Infinity;
  const syn = forward ? (answer ? answer.estimate : 0) : count;
  const trust = averaged.measured.trust(base, real, syn);
  return {
    n_base: base,
    n_real_plus: forward ? count : answer,
    n_syn_plus: forward ? answer : count,
    reachable,
    accuracy: forward ? averaged.predict(base, count, 0) : averaged.predict(base, 0, count),
    saturation_accuracy: averaged.saturation(base),
    trust: !reachable && trust === "inside" ? "near" : trust,
    share_reachable: share,
  };
}

function marginalRate(fit, base, real, syn) {
  const path = (count) => [base, real, syn + count];
  const [estimate, draws] = fit.averaged.reaching([base, real + 1, syn], path, fit.averaged.mostSynthetic);
  return {marginal_rate: ofDraws(estimate, draws), trust: fit.averaged.measured.trust(base, real, syn)};
}

// planning.py: numbers of real images to try, up to where they suffice, and on.
function steps(base, enough, most) {
  const further = Math.min(FURTHER * enough + base, most), found = [0];
  if (enough >= 1) found.push(...geomspace(Math.max(enough * 1e-3, 1), enough, STEPS - 1));
  if (further > Math.max(enough, 1)) {
    found.push(...geomspace(Math.max(enough, 1), further, Math.floor(STEPS / 2)).slice(1));
  }
  return found;
}

// What a target takes, whatever images cost: kept, as prices change more often than targets.
function mixtures(fit, base, target) {
  const averaged = fit.averaged, most = averaged.mostSynthetic;
  const alone = bracket((count) => averaged.estimate(base, count, 0), target, averaged.mostReal);
  const enough = Math.min(alone, averaged.mostReal);
  const real = steps(base, enough, averaged.mostReal);
  const needed = real.map((n) => bracket((count) => averaged.estimate(base, n, count), target, most));
  const every = Math.max(Math.floor(averaged.count / DRAWS), 1), drawn = [];
  for (let i = 0; i < averaged.count; i += every) {
    drawn.push(real.map((n) => bracket((count) => averaged.drawn(i, base, n, count), target, most)));
  }
  return {alone, enough, real, needed, drawn};
}

function least(costs) { return costs.reduce((best, cost, i) => cost < costs[best] ? i : best, 0); }

function plan(fit, base, target, realCost, synCost, found = mixtures(fit, base, target)) {
  const {alone, enough, real, needed, drawn} = found, averaged = fit.averaged;
  const priced = (syn) => real.map((n, i) =>
    Number.isFinite(syn[i]) ? realCost * n + synCost * syn[i] : Infinity);
  const just = real.filter((n) => n <= enough).length;
  const costs = priced(needed).slice(0, just), drawnCosts = drawn.map(priced);
  const share = drawnCosts.filter((each) => each.some(Number.isFinite)).length / drawn.length;
  const told = {
    n_base: base, target_accuracy: target,
    cost_of_real_alone: Number.isFinite(alone) ? alone * realCost : null,
    cost_of_synthetic_alone: Number.isFinite(costs[0]) ? costs[0] : null,
  };
  if (!costs.some(Number.isFinite) || share < 0.5) {
    return {
      ...told, reachable: false, n_real_plus: null, n_syn_plus: null, cost: null,
      accuracy: bestWithin(averaged, base), chance: share, trust: "extrapolated",
    };
  }
  const best = least(costs), [n, syn] = [real[best], needed[best]], chosen = drawnCosts.map(least);
  const reached = averaged.every((i) => averaged.drawn(i, base, n, syn)).filter((value) => value >= target);
  return {
    ...told,
    reachable: true,
    n_real_plus: ofDraws(n, chosen.map((at, i) => Number.isFinite(drawnCosts[i][at]) ? real[at] : Infinity)),
    n_syn_plus: ofDraws(syn, chosen.map((at, i) => drawn[i][at])),
    cost: ofDraws(costs[best], chosen.map((at, i) => drawnCosts[i][at])),
    accuracy: averaged.predict(base, n, syn),
    chance: reached.length / averaged.count,
    trust: averaged.measured.trust(base, n, syn),
  };
}

function bestWithin(averaged, base) {
  const most = averaged.mostSynthetic, real = averaged.mostReal;
  const tries = most ? [0, ...geomspace(Math.min(1, most), most, STEPS)] : [0];
  const found = tries.map((count) => averaged.estimate(base, real, count));
  return averaged.predict(base, real, tries[found.indexOf(Math.max(...found))]);
}
