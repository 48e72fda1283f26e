"use strict";
(() => {
  const { folder, ranks } = JSON.parse(document.getElementById("data").textContent).clips;
  const panel = document.getElementById("panel");

  /** Add the clips of the panel's code to its nearest tracks; nothing is loaded before it is played. */
  const addClips = () => {
    const [, column, code] = /^<\|(.+)_(\d+)\|>$/.exec(panel.querySelector(".token a")?.textContent ?? "") ?? [];
    const tracks = panel.querySelectorAll("ol.plain > li");
    for (const rank of ranks[column]?.[code] ?? []) {
      const clip = document.createElement("audio");
      clip.controls = true;
      clip.preload = "none";
      clip.src = `${encodeURIComponent(folder)}/${column}_${code}_${rank}.opus`;
      clip.setAttribute("aria-label", tracks[rank - 1].textContent);
      tracks[rank - 1].append(clip);
    }
  };
  new MutationObserver(addClips).observe(panel, { childList: true });
  addClips();

  // One clip is played at a time.
  panel.addEventListener("play", ({ target }) => {
    for (const clip of panel.querySelectorAll("audio")) if (clip !== target) clip.pause();
  }, true);

  const footer = document.getElementById("footer");
  footer.textContent = footer.textContent.replace("it loads nothing", () => `it loads nothing but the clips in ${folder}/ beside it`);
})();
