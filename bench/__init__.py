"""Benchmarks: the product beside its peers, in one run, on the same two cores; see `make bench`.

The server has a core of its own; phones, TikTok on loopback and this program share the other one.
What is compared is the server's CPU time; ratios within one run count, figures do not.
"""
