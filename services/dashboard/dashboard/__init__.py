"""The page over the pipeline: what runs, how much flows, what was lost, the answers, who is popular."""
