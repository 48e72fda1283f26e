"""Training files: tasks that teach a language model the tokens, in the forms that trainers read."""
