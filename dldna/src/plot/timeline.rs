//! Events in time.

use super::canvas::{Canvas, LABEL, LINE_SPACING, WIDTH, draw_title, title_height};
use super::color::{FAINT, MUTED, PALETTE};
use super::text;
use crate::plot::{Figure, PlotError};
use plotters::style::RGBColor;

/// Events in time, from top to bottom; the longer the pause between two, the larger the gap.
///
/// # Example
/// ```
/// use dldna::plot::Timeline;
///
/// let figure = Timeline::new("Two networks")
///     .event(1980, "Neocognitron", "Layers of simple and complex cells.")
///     .event(1998, "LeNet-5", "Trained by back-propagation, reads cheques.")
///     .draw()?;
/// assert_eq!(figure.width(), 640);
/// # Ok::<(), dldna::plot::PlotError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Timeline {
    title: String,
    events: Vec<Event>,
    groups: Vec<String>,
}

#[derive(Clone, Debug)]
struct Event {
    year: i32,
    name: String,
    text: String,
    group: usize,
}

const LINE_X: f32 = 84.0;
const TEXT_X: f32 = 108.0;

impl Timeline {
    /// A timeline without events yet.
    pub fn new(title: &str) -> Self {
        Timeline {
            title: title.to_owned(),
            events: Vec::new(),
            groups: Vec::new(),
        }
    }

    /// The events that follow belong to the group `name`, which has a colour of its own and a place in the legend. At most six groups
    /// have colours that differ.
    ///
    /// # Example
    /// ```
    /// use dldna::plot::Timeline;
    ///
    /// Timeline::new("Two crafts")
    ///     .group("printing")
    ///     .event(1440, "Gutenberg", "Movable type.")
    ///     .group("photography")
    ///     .event(1839, "Daguerre", "Pictures on silver.")
    ///     .draw()?;
    /// # Ok::<(), dldna::plot::PlotError>(())
    /// ```
    pub fn group(mut self, name: &str) -> Self {
        self.groups.push(name.to_owned());
        self
    }

    /// Adds an event: its year, a short name, and a sentence about it. Events may come in any order.
    pub fn event(mut self, year: i32, name: &str, text: &str) -> Self {
        self.events.push(Event {
            year,
            name: name.to_owned(),
            text: text.to_owned(),
            group: self.groups.len().saturating_sub(1),
        });
        self
    }

    /// Draws the timeline.
    ///
    /// # Errors
    /// [`PlotError::Empty`] without events, [`PlotError::TooLarge`] for hundreds of them.
    pub fn draw(&self) -> Result<Figure, PlotError> {
        let texts = self
            .events
            .iter()
            .flat_map(|event| [&event.name, &event.text]);
        let texts = texts.chain(&self.groups).chain([&self.title]);
        text::warn(texts.map(String::as_str));
        let mut events = self.events.clone();
        events.sort_by_key(|e| e.year);
        let lines: Vec<Vec<String>> = events
            .iter()
            .map(|e| text::wrapped(&e.text, WIDTH - TEXT_X - 16.0, LABEL.size))
            .collect();
        let legend = title_height(&self.title) + 6.0;
        let mut y = legend + if self.groups.is_empty() { 8.0 } else { 34.0 };
        let mut places = Vec::new();
        for (i, event) in events.iter().enumerate() {
            places.push(y);
            let pause = events
                .get(i + 1)
                .map_or(0, |next| next.year.saturating_sub(event.year));
            y += (1 + lines[i].len()) as f32 * LINE_SPACING * LABEL.size
                + 10.0
                + (2.5 * (pause as f32).sqrt()).min(60.0);
        }
        let (Some(first), Some(last)) = (places.first(), places.last()) else {
            return Err(PlotError::Empty { what: "a timeline" });
        };
        let mut canvas = Canvas::checked(WIDTH, y)?;
        draw_title(&mut canvas, &self.title, 12.0);
        let mut x = LINE_X;
        for (i, group) in self.groups.iter().enumerate() {
            canvas.circle(x, legend, 6.0, color(i));
            canvas.text(group, x + 14.0, legend, LABEL.color(MUTED));
            x += 14.0 + LABEL.width(group) + 32.0;
        }
        canvas.fill(LINE_X - 1.0, *first, 2.0, last - first, FAINT);
        for ((event, lines), &y) in events.iter().zip(&lines).zip(&places) {
            canvas.circle(LINE_X, y, 6.0, color(event.group));
            canvas.text(
                &event.year.to_string(),
                LINE_X - 18.0,
                y,
                LABEL.bold().right().color(color(event.group)),
            );
            canvas.text(&event.name, TEXT_X, y, LABEL.bold());
            canvas.text(
                &lines.join("\n"),
                TEXT_X,
                y + LINE_SPACING * LABEL.size,
                LABEL.color(MUTED),
            );
        }
        Ok(canvas.finish())
    }
}

/// The colour of a group; there are as many as the palette has.
fn color(group: usize) -> RGBColor {
    PALETTE[group % PALETTE.len()]
}
