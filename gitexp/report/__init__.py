"""One HTML file that compares experiments, and single charts of them: ``data`` collects, ``page`` and ``chart`` draw.

Nothing of it is needed for recording, so what it imports (Jinja2, plotly, matplotlib, Pygments) is an extra.
"""
