"""Surfaces: a formula for accuracy over (n_base, n_real_plus, n_syn_plus), one file each.

A surface's file has

- `accuracy(n_base, n_real_plus, n_syn_plus, *, a, b, ...)`: the formula, its keyword-only arguments the
  parameters; counts and parameters are floats or arrays that broadcast, and counts may be zero;
- `BOUNDS`: for each parameter (low, high); `math.inf` where open;
- `LATEX`: the formula;
- `starts(n_base, n_real_plus, n_syn_plus)`: starting values of the nonlinear parameters, a list of
  dictionaries; the others enter linearly, and the engine solves for them;
- optionally `gradient(...)`, called like `accuracy`: the derivative by each parameter, in order (without it
  the engine differentiates by complex step, so `accuracy` must then take complex parameters);
- optionally `equivalent(n_base, n_real_plus, *, ...)`: n_syn_plus in closed form, inf where none is enough;
- optionally `NONPARAMETRIC = True`: a baseline that the others are compared with, without weight in answers.
"""
