//! The progress of a pull on standard error: bars on a terminal, lines elsewhere.

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::prompt;
use crate::failure::escape_control;
use crate::image::progress::{LayerEvent, Progress};
use crate::image::short_name::Chosen;
use crate::name::reference::Reference;

/// A layer on its way.
const TEMPLATE: &str = "{prefix} {bar:24.cyan/blue} {bytes:>10} / {total_bytes:<10} {msg}";
/// A layer that has arrived.
const FINISHED: &str = "{prefix} {msg}";

/// Shows one image on its way. Starts no threads: bars move when something happens.
pub struct PullProgress {
    screen: Arc<Screen>,
    layers: Mutex<Vec<Shown>>,
}

/// Where all images are shown that are on their way at once.
enum Screen {
    Bars(MultiProgress),
    Lines(Mutex<Box<dyn Write + Send>>),
}

/// A layer, as it is shown.
enum Shown {
    Bar(ProgressBar),
    Line(String),
}

impl PullProgress {
    /// On standard error.
    pub fn stderr() -> Self {
        if std::io::stderr().is_terminal() {
            let target = ProgressDrawTarget::stderr_with_hz(10);
            return Self::on(Screen::Bars(MultiProgress::with_draw_target(target)));
        }
        Self::lines(Box::new(std::io::stderr()))
    }

    /// Lines, into `out`.
    fn lines(out: Box<dyn Write + Send>) -> Self {
        Self::on(Screen::Lines(Mutex::new(out)))
    }

    fn on(screen: Screen) -> Self {
        Self { screen: Arc::new(screen), layers: Mutex::default() }
    }

    /// Of another image, shown beside this one.
    pub fn beside(&self) -> Self {
        Self { screen: Arc::clone(&self.screen), layers: Mutex::default() }
    }
}

/// Says nothing, but asks where something has to be chosen.
pub struct Quiet;

impl Progress for Quiet {
    fn choose(&self, short: &str, candidates: &[Reference]) -> Chosen {
        prompt::choose(short, candidates)
    }

    fn message(&self, _line: &str) {}

    fn layer(&self, _position: usize, _event: LayerEvent<'_>) {}
}

impl Progress for PullProgress {
    fn choose(&self, short: &str, candidates: &[Reference]) -> Chosen {
        // One question at a time, and nothing drawn over it.
        match &*self.screen {
            Screen::Bars(all) => all.suspend(|| prompt::choose(short, candidates)),
            Screen::Lines(_) => prompt::choose(short, candidates),
        }
    }

    fn message(&self, line: &str) {
        let line = escape_control(line);
        match &*self.screen {
            // Nobody is left to be told if standard error is gone.
            Screen::Bars(all) => drop(all.println(line)),
            Screen::Lines(out) => write_line(out, &line),
        }
    }

    fn layer(&self, position: usize, event: LayerEvent<'_>) {
        let mut layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*self.screen, event, layers.get(position)) {
            (Screen::Bars(all), LayerEvent::Found { digest, size }, _) => {
                let bar = all.add(ProgressBar::new(size).with_prefix(digest.short().to_owned()));
                layers.push(Shown::Bar(bar.with_style(style(TEMPLATE))));
            }
            (Screen::Lines(_), LayerEvent::Found { digest, size }, _) => {
                layers.push(Shown::Line(format!("layer {} ({})", digest.short(), HumanBytes(size))));
            }
            (_, event, Some(Shown::Bar(bar))) => move_bar(bar, event),
            (Screen::Lines(out), event, Some(Shown::Line(layer))) => tell(out, layer, event),
            _ => {}
        }
    }
}

fn move_bar(bar: &ProgressBar, event: LayerEvent<'_>) {
    let finish = |words: String| {
        bar.set_style(style(FINISHED));
        bar.finish_with_message(words);
    };
    match event {
        LayerEvent::Found { .. } => {}
        LayerEvent::Moved(bytes) => bar.set_position(bytes),
        LayerEvent::Unpacking => bar.set_message("unpacking"),
        LayerEvent::AlreadyPresent => finish("already present".into()),
        LayerEvent::Done => finish(format!("done, {}", HumanBytes(bar.length().unwrap_or_default()))),
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// One line when a layer is settled: a file or a pipe has no use for the steps between.
fn tell(out: &Mutex<Box<dyn Write + Send>>, layer: &str, event: LayerEvent<'_>) {
    match event {
        LayerEvent::Found { .. } | LayerEvent::Moved(_) | LayerEvent::Unpacking => {}
        LayerEvent::AlreadyPresent => write_line(out, &format!("{layer}: already present")),
        LayerEvent::Done => write_line(out, &format!("{layer}: done")),
    }
}

fn write_line(out: &Mutex<Box<dyn Write + Send>>, line: &str) {
    let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
    // Nobody is left to be told if this fails.
    let _ = writeln!(out, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::digest::Digest;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn events(progress: &PullProgress) {
        let digest = Digest::of(b"");
        for position in 0..2 {
            progress.layer(position, LayerEvent::Found { digest: &digest, size: 2048 });
        }
        progress.layer(1, LayerEvent::AlreadyPresent);
        progress.layer(0, LayerEvent::Moved(1024));
        progress.message("a registry says \x1b[2J");
        progress.layer(0, LayerEvent::Unpacking);
        progress.layer(0, LayerEvent::Done);
        progress.layer(7, LayerEvent::Done);
    }

    #[test]
    fn a_file_gets_one_line_for_each_layer() {
        let page = Page::default();
        events(&PullProgress::lines(Box::new(page.clone())));
        let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        let expected = "layer e3b0c44298fc (2.00 KiB): already present\n\
                        a registry says \\u{1b}[2J\n\
                        layer e3b0c44298fc (2.00 KiB): done\n";
        assert_eq!(text, expected);
    }

    /// A terminal that remembers what was drawn on it, and forgets nothing.
    #[derive(Clone, Debug, Default)]
    struct Paper(Arc<Mutex<String>>);

    impl Paper {
        fn draw(&self, text: &str) -> std::io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }
    }

    impl indicatif::TermLike for Paper {
        fn width(&self) -> u16 {
            80
        }

        fn move_cursor_up(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }

        fn move_cursor_down(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }

        fn move_cursor_right(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }

        fn move_cursor_left(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }

        fn write_line(&self, text: &str) -> std::io::Result<()> {
            self.draw(text).and_then(|()| self.draw("\n"))
        }

        fn write_str(&self, text: &str) -> std::io::Result<()> {
            self.draw(text)
        }

        fn clear_line(&self) -> std::io::Result<()> {
            self.draw("\n")
        }

        fn flush(&self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn bars_end_with_what_became_of_the_layers() {
        let paper = Paper::default();
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::term_like(Box::new(paper.clone())));
        let progress = PullProgress::on(Screen::Bars(all));
        events(&progress);
        drop(progress);
        let shown = paper.0.lock().unwrap().clone();
        for expected in ["done, 2.00 KiB", "already present", "1.00 KiB / 2.00 KiB", "a registry says \\u{1b}[2J"] {
            assert!(shown.contains(expected), "{expected:?} is missing in {shown:?}");
        }
    }
}
