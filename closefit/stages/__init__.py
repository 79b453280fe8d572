"""The four stages: the only places where files and tensors meet; one `run` each."""
