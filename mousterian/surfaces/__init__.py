"""Surfaces: a formula for accuracy over (n_base, n_real_plus, n_syn_plus), one file each."""
