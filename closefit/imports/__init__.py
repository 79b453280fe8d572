"""Files of other tools: detections, estimates of people, the SMPL body."""
