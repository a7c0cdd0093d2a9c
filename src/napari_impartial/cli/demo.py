"""Show the whole loop on sample data."""
import argparse
EPILOG=""
def add_arguments(parser): pass
def run(args): return {}
def describe(r): return ""
