// Figures tell the numbers of the mark that is pointed at, or reached with the arrow keys.
function startPointing() {
  const tip = $("tip");
  const show = (circle) => {
    document.querySelectorAll(".spots .on").forEach((each) => each.classList.remove("on"));
    tip.hidden = !circle;
    if (!circle) return;
    circle.classList.add("on");
    tip.textContent = circle.dataset.tip;
    const at = circle.getBoundingClientRect(), room = document.documentElement.clientWidth - tip.offsetWidth - 8;
    tip.style.left = `${Math.max(8, Math.min(at.left + at.width / 2 - tip.offsetWidth / 2, room))}px`;
    tip.style.top = `${at.top - tip.offsetHeight - 6 > 0 ? at.top - tip.offsetHeight - 6 : at.bottom + 6}px`;
  };
  for (const canvas of document.querySelectorAll(".canvas")) {
    const circles = [...canvas.querySelectorAll(".spots circle")];
    if (!circles.length) continue;
    for (const circle of circles) {
      // The browser's own tip would show beside ours.
      const title = circle.querySelector("title");
      circle.dataset.tip = title.textContent;
      title.remove();
      circle.addEventListener("pointerenter", () => show(circle));
      circle.addEventListener("pointerleave", () => show(null));
    }
    canvas.addEventListener("keydown", (event) => {
      const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
      if (event.key === "Escape") show(null);
      if (!step) return;
      event.preventDefault();
      const now = circles.findIndex((circle) => circle.classList.contains("on"));
      const next = now < 0 ? (step > 0 ? 0 : circles.length - 1) : now + step;
      show(circles[(next + circles.length) % circles.length]);
    });
    canvas.addEventListener("blur", () => show(null));
  }
  addEventListener("scroll", () => show(null), {passive: true});
}
startPointing();
