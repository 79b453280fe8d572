"""The workshop of the prior: motion data, generated motion, training, sampling."""
