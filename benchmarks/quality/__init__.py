"""Trains and measures the quality score: `python -m benchmarks.quality CLIPS... --out DIR`.

Short pieces of clips with exact truth are run with real and simulated detectors, most of them with
damaged input. What each run saw and found is kept, with its errors against the truth; from these,
`--fit` trains the model that ships (`closefit/quality/model.json`) and measures it on clips that it
was not trained on.
"""
