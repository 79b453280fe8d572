"""`report.html`: one page with player, video, contact timeline and figures, which opens offline.

`three.min.js` is made from `three.js` with `npm run three` in `tests/browser`; `page.*` are as
written. The page needs no build.
"""
