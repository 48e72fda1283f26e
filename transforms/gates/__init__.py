"""Gates: the conditions under which inputs are used and a release is published."""
