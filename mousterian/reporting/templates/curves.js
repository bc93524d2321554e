// A fit's curves, as reporting/curves.py has them: accuracies by interpolation, and where two are equal.
const LEVEL = 0.95, GRID = 40, HALVINGS = 34, WIDTHS = [Int32Array, Int16Array, Int8Array];
const NODES = [0, 1, 2, 3, 4, 5], STENCIL = NODES.length;

function geomspace(start, stop, count) {
  const low = Math.log10(start), step = (Math.log10(stop) - low) / (count - 1);
  const found = Array.from({length: count}, (_, i) => 10 ** (low + i * step));
  found[0] = start;
  found[count - 1] = stop;
  return found;
}

// fitting/interval.py: the percentile interval of draws, widened to hold the estimate.
function ofDraws([estimate, ...draws], least = -Infinity, most = Infinity) {
  const ordered = Float64Array.from(draws).sort(), tail = (1 - LEVEL) / 2, end = ordered.length - 1;
  const low = ordered[Math.floor(tail * end)], high = ordered[Math.ceil((1 - tail) * end)];
  const within = (value) => Math.min(Math.max(value, least), most);
  return {
    estimate: within(estimate), low: within(Math.min(low, estimate)), high: within(Math.max(high, estimate)),
  };
}

function unpacked(text, Kind) { return new Kind(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer); }

// The weight of each node in the polynomial through all of them, at x.
function weightsAt(nodes, x) {
  return nodes.map((a, i) => nodes.reduce((product, b, j) => j === i ? product : product * (x - b) / (a - b), 1));
}

class Curves {
  constructor(fit) {
    Object.assign(this, fit);
    for (const name of ["estimate", "rows", "columns"]) this[name] = unpacked(fit[name], Float32Array);
    this.components = fit.components.map(({steps, draws, points}, i) =>
      ({steps, draws: unpacked(draws, WIDTHS[i]), points: unpacked(points, WIDTHS[i])}));
  }

  holds(base, real, syn) {
    const most = this.bases[this.bases.length - 1];
    return base >= this.bases[0] && base <= most && real <= this.most.real && syn <= this.most.synthetic;
  }

  // All curves at one base, the average's first: the base alone, then gains, in the order of the counts.
  at(base) {
    if (this.base === base) return this;
    const {bases, ends, columns, rows} = this, size = this.estimate.length, width = size / bases.length;
    const after = Math.max(ends.findIndex((end) => bases[end] >= base), 1);
    const nodes = bases.map((_, j) => j).slice(ends[after - 1], (ends[after] ?? 0) + 1);
    const weights = weightsAt(nodes.map((j) => Math.log(bases[j])), Math.log(base));
    const mixed = (value) => Float64Array.from({length: width}, (_, g) =>
      nodes.reduce((sum, j, k) => sum + weights[k] * value(j * width + g), 0));
    const centre = mixed((g) => this.estimate[g]), drawn = Array.from(rows, () => new Float64Array(width));
    for (const {steps, draws, points} of this.components) {
      steps.forEach((step, c) => {
        const point = mixed((g) => points[c * size + g] * columns[g]);
        drawn.forEach((curve, i) => {
          const share = rows[i] * step * draws[c * rows.length + i];
          for (let g = 0; g < width; g += 1) curve[g] += share * point[g];
        });
      });
    }
    this.all = [centre, ...drawn.map((curve) => curve.map((value, g) => centre[g] + value))];
    this.ranges = {real: this.range("real", base), synthetic: this.range("synthetic", base)};
    this.base = base;
    return this;
  }

  // Up to which number the measured range goes, and answers are "inside" and "near", at a base: logarithms.
  range(kind, base) {
    const {bases, reach} = this, after = Math.max(bases.findIndex((each) => each >= base), 1);
    const [low, high = low] = reach[kind].slice(after - 1, after + 1);
    const share = bases.length > 1 ? Math.log(base / bases[after - 1]) / Math.log(bases[after] / bases[after - 1]) : 0;
    return low.map((end, i) => end + share * (high[i] - end));
  }

  trust(real, syn) {
    const past = (kind, number) => this.ranges[kind].slice(1).filter((end) => Math.log(number) > end).length;
    if (!Number.isFinite(real + syn)) return "extrapolated";
    return Object.keys(RANGE)[Math.max(past("real", this.base + real), past("synthetic", syn))];
  }

  // Where a count lies on a curve: the first of the points around it, and the weight of each.
  place(kind, count) {
    const [inside, beyond] = this.cells[kind], real = kind === "real", unit = real ? this.base : this.unit;
    const limit = Math.max(Math.exp(this.ranges[kind][0]) - (real ? this.base : 0), 0);
    const [at, end, last] = [count, limit, this.most[kind]].map((each) => Math.log1p(each / unit));
    const position = at > end ? inside + beyond * (at - end) / (last - end) : at && inside * at / end;
    const [least, most] = at > end ? [inside, inside + beyond] : [0, inside];
    const first = Math.min(Math.max(Math.floor(position) - STENCIL / 2 + 1, least), most - STENCIL + 1);
    return {kind, first, weights: weightsAt(NODES, position - first)};
  }

  accuracy(curve, {kind, first, weights}) {
    const from = first + (kind === "real" ? 0 : this.cells.real[0] + this.cells.real[1]);
    // The first point is at no images and has no gain.
    return weights.reduce((sum, weight, k) => first + k ? sum + weight * curve[from + k] : sum, curve[0]);
  }

  predict(kind, count) {
    const place = this.place(kind, count);
    return ofDraws(this.all.map((curve) => this.accuracy(curve, place)), 0, 1);
  }

  // fitting/model_average.py, bracket: the least number of a kind that does what `count` of the other do.
  reaching(kind, count) {
    const target = this.place(kind === "real" ? "synthetic" : "real", count), most = this.most[kind];
    const grid = [0, ...geomspace(Math.min(1, most / 2), most, GRID)];
    const places = grid.map((each) => this.place(kind, each));
    return this.all.map((curve) => {
      const goal = this.accuracy(curve, target);
      const first = places.findIndex((place) => this.accuracy(curve, place) >= goal);
      if (first < 1) return first ? Infinity : 0;
      let [left, right] = [grid[first - 1], grid[first]];
      for (let i = 0; i < HALVINGS; i += 1) {
        const middle = (left + right) / 2;
        if (this.accuracy(curve, this.place(kind, middle)) >= goal) right = middle; else left = middle;
      }
      return right;
    });
  }

  // The best accuracy from synthetic images alone.
  saturation() {
    const tries = [0, ...geomspace(1, this.most.synthetic, 200)];
    const best = Math.max(...tries.map((count) => this.accuracy(this.all[0], this.place("synthetic", count))));
    return Math.min(Math.max(best, 0), 1);
  }

  // answers/equivalence.py: what `count` images of a kind are worth in the other.
  equivalence(kind, count) {
    const forward = kind === "real", found = this.reaching(forward ? "synthetic" : "real", count);
    const share = found.slice(1).filter(Number.isFinite).length / (found.length - 1);
    const reachable = Number.isFinite(found[0]) && share >= 0.5, answer = reachable ? ofDraws(found) : null;
    const trust = forward ? this.trust(count, reachable ? found[0] : 0) : this.trust(found[0], count);
    return {
      n_base: this.base,
      n_real_plus: forward ? count : answer,
      n_syn_plus: forward ? answer : count,
      reachable,
      accuracy: this.predict(kind, count),
      saturation_accuracy: this.saturation(),
      trust: !reachable && trust === "inside" ? "near" : trust,
      share_reachable: share,
    };
  }

  // At the base set alone, where it is what one real image is worth.
  rate() { return {marginal_rate: ofDraws(this.reaching("synthetic", 1)), trust: this.trust(0, 0)}; }
}
