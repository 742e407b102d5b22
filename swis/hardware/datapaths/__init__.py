"""Datapaths: how an array computes a layer, with one datapath per file."""
