//! Reads the XML of commands, as leniently as devices do: several roots in one body, blanks, tabs
//! and line ends between elements, an absent declaration. Written by hand, so that this crate does
//! not share its reader with the program that it tests.

/// Deeper than any command; more is refused rather than followed.
const DEEPEST: usize = 16;

/// One element.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) name: String,
    attributes: Vec<(String, String)>,
    text: String,
    pub(crate) children: Vec<Self>,
}

impl Node {
    /// An attribute without the blanks around it.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.trim())
    }

    pub(crate) fn id(&self) -> &str {
        self.attribute("id").unwrap_or("")
    }

    pub(crate) fn text(&self) -> &str {
        self.text.trim()
    }

    pub(crate) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }
}

/// All root elements of a body; `None` if it is not well formed.
pub(crate) fn read(text: &str) -> Option<Vec<Node>> {
    let mut open = vec![Node::default()];
    let mut rest = text.trim_start_matches('\u{feff}');
    while let Some((before, after)) = rest.split_once('<') {
        if let Some(node) = open.last_mut() {
            node.text.push_str(&unescaped(before));
        }
        rest = if let Some(comment) = after.strip_prefix("!--") {
            comment.split_once("-->")?.1
        } else if let Some(declaration) = after.strip_prefix('?') {
            declaration.split_once("?>")?.1
        } else if let Some(end) = after.strip_prefix('/') {
            let (name, rest) = end.split_once('>')?;
            let node = open.pop()?;
            if node.name != name.trim() {
                return None;
            }
            open.last_mut()?.children.push(node);
            rest
        } else {
            let (node, closed, rest) = tag(after)?;
            if closed {
                open.last_mut()?.children.push(node);
            } else if open.len() > DEEPEST {
                return None;
            } else {
                open.push(node);
            }
            rest
        };
    }
    (open.len() == 1).then(|| open.pop().map(|all| all.children))?
}

/// A start tag after its `<`: the element, whether it is closed at once, and what follows.
fn tag(text: &str) -> Option<(Node, bool, &str)> {
    let end = text.find(|c: char| c.is_whitespace() || c == '>' || c == '/')?;
    let (name, mut rest) = text.split_at(end);
    if name.is_empty() || name.contains(['<', '"', '!']) {
        return None;
    }
    let mut node = Node { name: name.to_owned(), ..Node::default() };
    loop {
        rest = rest.trim_start();
        if let Some(rest) = rest.strip_prefix("/>") {
            return Some((node, true, rest));
        }
        if let Some(rest) = rest.strip_prefix('>') {
            return Some((node, false, rest));
        }
        let (key, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let quote = after.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        let (value, after) = after.get(1..)?.split_once(quote)?;
        if key.contains(['<', '>', '/']) {
            return None;
        }
        node.attributes.push((key.trim().to_owned(), unescaped(value)));
        rest = after;
    }
}

fn unescaped(text: &str) -> String {
    if !text.contains('&') {
        return text.to_owned();
    }
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    text.replace("&apos;", "'").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_however_they_are_laid_out() {
        let body = "\r\n  <?xml version=\"1.0\" ?>\r\n<Auth><nonce>1</nonce></Auth>\n\t<Transfer attribute = 'Connect '>\r\n\
                    <!-- x --><ext id=\"200\"/>\t<voicefile> a&amp;b </voicefile></Transfer>";
        let roots = read(body).unwrap();
        assert_eq!(roots.iter().map(|root| root.name.as_str()).collect::<Vec<_>>(), ["Auth", "Transfer"]);
        assert_eq!(roots[0].child("nonce").unwrap().text(), "1");
        assert_eq!(roots[1].attribute("attribute"), Some("Connect"));
        assert_eq!(roots[1].child("ext").unwrap().id(), "200");
        assert_eq!(roots[1].child("voicefile").unwrap().text(), "a&b");
    }

    #[test]
    fn nonsense_is_refused() {
        for wrong in ["<a>", "<a></b>", "</a>", "<a b></a>", "<a b=c/>", "<a b=\"c/>", "<!-- a", "<a", "<>"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert_eq!(read(&"<a>".repeat(40)), None);
        assert_eq!(read("no markup").unwrap(), []);
    }
}
