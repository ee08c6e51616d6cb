"""What is known of products, customers and pairs of both: defined once, as Ibis expressions over a table of acts.

The modules that define import Ibis, which serving does without: `models` and `batch` import them when they compute.
"""
