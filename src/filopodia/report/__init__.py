"""The report: data first (report.json), and one self-contained page drawn from it (report.html)."""

from filopodia.report.data import Report, decode_report, encode_report
from filopodia.report.page import render

__all__ = ["Report", "decode_report", "encode_report", "render"]
