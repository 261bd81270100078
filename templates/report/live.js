// Reloads the page once the file beside it names another run; what is shown is in the address, and stays.
const LOOK_MS = 500;
window[hears] = (newest) => { if (newest !== shown) location.reload(); };
const look = () => {
  const script = document.createElement("script");
  // Another address each time: nothing that was loaded before is taken for it.
  script.src = `${file}?${Date.now()}`;
  const again = () => { script.remove(); setTimeout(look, LOOK_MS); };
  script.addEventListener("load", again);
  // The folder of a run that is going on has none yet.
  script.addEventListener("error", again);
  document.head.append(script);
};
look();
