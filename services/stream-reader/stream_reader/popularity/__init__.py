"""How popular each profile is: the file of posts, the scores computed from it, and who keeps them up to date."""
