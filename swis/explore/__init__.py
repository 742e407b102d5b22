"""Panels for JupyterLab: look into a network, a layer, a group of weights."""
