"""Code and reference pages made from the contracts and the sources; the scripts beside this package run them."""
