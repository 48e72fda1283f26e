"""The commands of the language model: training texts, vocabularies."""
