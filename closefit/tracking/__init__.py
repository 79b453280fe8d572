"""From per-frame detections to two identities over the whole clip."""
