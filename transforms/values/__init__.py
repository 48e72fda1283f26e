"""Values as other systems write them: Arrow's types of storage, and lists as text."""
