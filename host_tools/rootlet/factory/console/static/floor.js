// The floor is rendered by the server; this puts in what it sends, and says when nothing comes any more.
const floor = document.getElementById("floor");
const lost = document.getElementById("lost");
const spoken = document.getElementById("spoken");
const source = new EventSource("/events");

// A screen reader announces the tiles that need somebody now and did not before, and nothing of what merely goes on.
const needed = () => [...floor.querySelectorAll(".tile")].map((tile) => tile.dataset.say).filter(Boolean);

source.onopen = () => { lost.hidden = true; };
source.onerror = () => { lost.hidden = false; };
source.onmessage = (event) => {
  lost.hidden = true;
  const before = new Set(needed());
  const focused = floor.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  floor.innerHTML = event.data;
  if (focused) [...floor.querySelectorAll("a")].find((link) => link.getAttribute("href") === focused)?.focus();
  const news = needed().filter((words) => !before.has(words));
  if (news.length) spoken.textContent = news.join(" ");
};
