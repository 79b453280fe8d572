"""How likely a careful person would keep a result: features, a calibrated model, reasons."""
