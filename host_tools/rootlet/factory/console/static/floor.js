// The floor is rendered by the server; this puts in what it sends, and says when nothing comes any more.
const floor = document.getElementById("floor");
const lost = document.getElementById("lost");
const source = new EventSource("/events");

source.onopen = () => { lost.hidden = true; };
source.onerror = () => { lost.hidden = false; };
source.onmessage = (event) => {
  lost.hidden = true;
  floor.innerHTML = event.data;
};
