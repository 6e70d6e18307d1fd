"""Pages: each is one HTML file that loads nothing and runs only its own scripts.

page = render("report.html", data, [asset("uplot.js"), asset("report.js")], title=...)
write(target("report.html"), page)
"""

from optilab.pages.environment import asset, fragment, render, safe_json, target, write

__all__ = ["asset", "fragment", "render", "safe_json", "target", "write"]
