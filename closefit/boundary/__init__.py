"""Everything from outside is read here: values, text, arrays, each checked once."""
