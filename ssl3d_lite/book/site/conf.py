"""What Sphinx is told; ``ssl3d book build`` runs it. Nothing is fetched, neither now nor later."""

project = "ssl3d_lite"
html_title = "ssl3d_lite"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "ssl3d_lite.book.extension"]
root_doc = "index"

nb_execution_mode = "off"  # notebooks are shown as they were kept
nb_ipywidgets_js: dict[str, dict[str, str]] = {}  # scripts from the web
nb_merge_streams = True
suppress_warnings = ["myst.header"]  # a glossary goes from its title to small headings
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 6
myst_url_schemes = {
    "http": None,
    "https": None,
    "mailto": None,
    "page": "{{path}}",  # a file of the site that Sphinx does not make
}

autoclass_content = "both"  # what a class is, and what its __init__ takes
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_inherit_docstrings = False
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True
add_module_names = False
toc_object_entries = False

html_math_renderer = "pictures"
html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["book.css", "quiz.css"]
html_js_files = ["book.js", "quiz.js"]
html_copy_source = False
html_show_sourcelink = False
html_show_search_summary = False  # a browser may not read other pages of a disk
html_show_copyright = False
html_show_sphinx = False
html_theme_options = {"top_of_page_buttons": [], "navigation_with_keys": False}
highlight_language = "none"  # code that does not say what it is
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
