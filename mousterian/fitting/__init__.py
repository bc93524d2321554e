"""Fitting: a table of accuracies and the surfaces -> parameters, intervals, weights and answers."""
