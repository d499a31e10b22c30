"""Names of the files in the result folder of a scanned slide."""

# The summary is written last: it says that the scan is finished.
SUMMARY, SETTINGS, TIMINGS = "summary.json", "settings.json", "timings.json"
HEATMAP, LOG_ODDS, LESIONS, OVERVIEW = "heatmap.tif", "log_odds.npy", "lesions.geojson", "overview.png"
# Folder of an unfinished scan, with the rows that are done.
WORK = "unfinished"
