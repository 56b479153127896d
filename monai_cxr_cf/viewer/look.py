# SPDX-License-Identifier: Apache-2.0
"""How the page looks: calm, dark as a reading room, one amber line that never goes."""

CSS = """
html { overflow: hidden; }
.step { padding: 14px 18px 6px; }
.step h2 { font-size: 0.95rem; font-weight: 600; margin-bottom: 8px; }
.step h2 b { color: #F5C242; margin-right: 6px; }
.step p { font-size: 0.85rem; line-height: 1.35; margin: 4px 0 8px; opacity: 0.9; }
.tone { border-left: 4px solid #5a6472; border-radius: 3px; padding: 6px 10px; margin: 8px 0;
  background: rgba(120, 140, 160, 0.10); font-size: 0.87rem; line-height: 1.4; }
.tone strong { display: block; }
.tone.good { border-color: #2E9E62; background: rgba(46, 158, 98, 0.14); }
.tone.doubt { border-color: #F5A623; background: rgba(245, 166, 35, 0.13); }
.tone.bad { border-color: #D93A2B; background: rgba(217, 58, 43, 0.15); }
.tone.busy { border-color: #4C8DFF; background: rgba(76, 141, 255, 0.14); }
.details { font: 0.72rem/1.4 monospace; white-space: pre-wrap; max-height: 180px; overflow: auto;
  background: #111; padding: 8px; border-radius: 4px; user-select: text; }
.stage { display: flex; flex-direction: column; width: 100%; height: 100%; }
.views { position: relative; display: flex; flex: 1; min-height: 0; background: #000; }
.views > .layout-grid-container { width: 100%; }
.empty { position: absolute; inset: 0; display: flex; flex-direction: column; gap: 6px;
  align-items: center; justify-content: center; color: #cfd6df; background: #14171b; }
.caption { position: absolute; left: 10px; bottom: 8px; color: #e8edf3; font-size: 0.8rem;
  background: rgba(0, 0, 0, 0.55); padding: 2px 8px; border-radius: 3px; pointer-events: none; }
.row { display: flex; gap: 8px; align-items: center; }
.bar { display: flex; flex-wrap: wrap; gap: 2px 28px; align-items: center; padding: 6px 20px;
  background: #1c2026; font-size: 0.85rem; }
.bar .dial { display: flex; gap: 12px; align-items: center; flex: 1 1 240px; max-width: 420px; }
.bar .v-switch { flex: 0 0 auto; }
.bar .v-label { font-size: 0.85rem; }
.step .v-field__input, .step .v-field .v-label { font-size: 0.88rem; }
.v-btn { text-transform: none; letter-spacing: 0; }
.v-btn--disabled { opacity: 0.4 !important; }
summary { cursor: pointer; font-size: 0.85rem; }
.v-slider-track__tick-label { font-size: 0.75rem; }
.sr-only { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
:focus-visible:not(input) { outline: 2px solid #F5C242 !important; outline-offset: 2px; }
"""
