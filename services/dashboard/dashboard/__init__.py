"""The dashboard: what runs, how much flows, whether anything was lost, the answers, who is popular. It only reads."""
