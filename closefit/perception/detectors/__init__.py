"""One adapter per third-party network; the only importers of their packages."""
