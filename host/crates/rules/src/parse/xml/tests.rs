use super::{Mapping, read};
use ringback_records::stop::Stop;
use serde_json::{Value, json};

fn plain(text: &str) -> Result<Value, Stop> {
    read(text.as_bytes(), None, &Mapping::default())
}

fn code(read: Result<Value, Stop>) -> (u16, &'static str, String) {
    let stop = read.unwrap_err();
    (stop.problem.status, stop.problem.code, stop.reason)
}

#[test]
fn what_is_no_xml_is_refused() {
    for wrong in [
        " ",
        "text",
        "<a>",
        "</a>",
        "<a></b>",
        "<a/><b/>",
        "<a/>x",
        "x<a/>",
        "<a/>&amp;",
        "<![CDATA[x]]><a/>",
        "<a b=1/>",
        "<a b='1' b='2'/>",
        "<a b='<'/>",
        "<a b/>",
        "<a>&</a>",
        "<a>& b</a>",
        "<a>&#0;</a>",
        "<a>&#x1;</a>",
        "<a b='&#1;'/>",
        "<a>&#xD800;</a>",
        "<a>\u{1}</a>",
        "<a>\u{ffff}</a>",
        "<a>]]></a>",
        "<a><!-- -- --></a>",
        "<a><!-- </a>",
        "<a><![CDATA[ </a>",
        "<1a/>",
        "<a><$serde_json::private::Number>1</$serde_json::private::Number></a>",
        "<a $serde_json::private::Number='1'/>",
        "<a><?xml version='1.0'?></a>",
        " <?xml version='1.0'?><a/>",
        "<?xml version='2.0'?><a/>",
        "<?xml?><a/>",
        "< a/>",
        "<a",
    ] {
        let (status, code, reason) = code(plain(wrong));
        assert_eq!((status, code), (400, "malformed_xml"), "{wrong}: {reason}");
        assert!(reason.contains("at line 1"), "{reason}");
    }
    assert!(code(plain("<a>\n\n<b>\n</a>")).2.ends_with("at line 4"));
    assert_eq!(code(read(b"<a>\xff</a>", None, &Mapping::default())).1, "malformed_xml");
    assert!(code(plain(&format!("<{}/>", "a".repeat(1025)))).2.contains("1024 bytes"));
}

/// Nothing is expanded or fetched, so that there is nothing to count.
#[test]
fn a_document_type_is_refused_and_no_entity_is_known_but_five() {
    for doctype in [
        "<!DOCTYPE a><a/>",
        "<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>",
        "<?xml version='1.0'?>\n<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>",
        "<!doctype a [<!ENTITY % p SYSTEM \"http://a.example/\"> %p;]><a/>",
    ] {
        let (status, code, reason) = code(plain(doctype));
        assert!(matches!((status, code), (400, "xml_doctype")), "{doctype}: {code}: {reason}");
    }
    for entity in ["<a>&x;</a>", "<a>&nbsp;</a>", "<a b='&x;'/>", "<a>&LT;</a>"] {
        assert_eq!(code(plain(entity)).1, "xml_entity", "{entity}");
    }
    let five = "<a b='&lt;&gt;&amp;&apos;&quot;&#65;'>&lt;&gt;&amp;&apos;&quot;&#x41;</a>";
    assert_eq!(plain(five).unwrap(), json!({ "a": { "@b": "<>&'\"A", "#text": "<>&'\"A" } }));
}

#[test]
fn depth_attributes_and_values_have_limits() {
    let nested = |depth: usize| "<a>".repeat(depth) + &"</a>".repeat(depth);
    assert_eq!(code(plain(&nested(61))).1, "xml_too_deep");
    assert_eq!(code(plain(&"<a>".repeat(100_000))).1, "xml_too_deep");
    assert!(plain(&nested(60)).is_ok());
    let attributes = |count: usize| {
        let attributes: String = (0..count).map(|n| format!(" a{n}=''")).collect();
        format!("<a{attributes}/>")
    };
    assert_eq!(code(plain(&attributes(257))).1, "xml_too_many_attributes");
    assert!(plain(&attributes(256)).is_ok());
    let many = |count: usize| format!("<a>{}</a>", "<b/>".repeat(count));
    assert_eq!(code(plain(&many(200_000))).1, "data_too_large");
    assert!(plain(&many(190_000)).is_ok());
    let ordered = Mapping { ordered: true, ..Mapping::default() };
    assert_eq!(code(read(many(30_000).as_bytes(), None, &ordered)).1, "data_too_large");
    let deep = read(nested(60).as_bytes(), None, &ordered).unwrap();
    let lists = Mapping { lists: vec!["a".to_owned()], ..Mapping::default() };
    for deep in [deep, read(nested(60).as_bytes(), None, &lists).unwrap()] {
        assert!(ringback_records::json::from_slice(deep.to_string().as_bytes()).is_ok(), "no deeper than JSON may be");
    }
    let prefixes = Mapping { prefixes: vec![("p".to_owned(), "urn:p".to_owned())], ..Mapping::default() };
    let declared: String = (0..65).map(|n| format!(" xmlns:a{n}='urn:a'")).collect();
    assert_eq!(code(read(format!("<a{declared}/>").as_bytes(), None, &prefixes)).1, "data_too_large");
}

#[test]
fn elements_become_members_by_a_mapping_that_is_in_the_manual() {
    for (text, data) in [
        ("<a/>", json!({ "a": "" })),
        ("<a></a>", json!({ "a": "" })),
        ("<a> x </a>", json!({ "a": " x " })),
        ("<a b='1'/>", json!({ "a": { "@b": "1" } })),
        ("<a b='1'>x</a>", json!({ "a": { "@b": "1", "#text": "x" } })),
        ("<a><b>1</b></a>", json!({ "a": { "b": "1" } })),
        ("<a><b>1</b><c/><b>2</b><b/></a>", json!({ "a": { "b": ["1", "2", ""], "c": "" } })),
        ("<a>\n  <b>1</b>\n</a>\n", json!({ "a": { "b": "1" } })),
        ("<a>x<b>1</b> y</a>", json!({ "a": { "b": "1", "#text": "x y" } })),
        ("<a><![CDATA[<b>&amp;]]></a>", json!({ "a": "<b>&amp;" })),
        ("<a>1<!-- no -->2<?no?>3</a>", json!({ "a": "123" })),
        ("<a>x\r\ny\rz</a>", json!({ "a": "x\ny\nz" })),
        ("<a b='x\ny'/>", json!({ "a": { "@b": "x y" } })),
        (
            "<s:a xmlns:s='urn:s'><s:b s:c='1'/></s:a>",
            json!({ "s:a": { "@xmlns:s": "urn:s", "s:b": { "@s:c": "1" } } }),
        ),
        ("\u{feff}<?xml version=\"1.0\" encoding=\"UTF-8\"?><é ö='ü'/>", json!({ "é": { "@ö": "ü" } })),
        ("<a>007</a>", json!({ "a": "007" })),
    ] {
        assert_eq!(plain(text).unwrap().to_string(), data.to_string(), "{text}");
    }
}

#[test]
fn what_is_named_is_a_list_and_what_is_ordered_stays_so() {
    let lists = Mapping { lists: vec!["b".to_owned()], ..Mapping::default() };
    let by = |text: &str, mapping: &Mapping| read(text.as_bytes(), None, mapping).unwrap();
    assert_eq!(by("<a><b>1</b></a>", &lists), json!({ "a": { "b": ["1"] } }));
    assert_eq!(by("<a><b>1</b><b><b/></b></a>", &lists), json!({ "a": { "b": ["1", { "b": [""] }] } }));
    assert_eq!(by("<b/>", &lists), json!({ "b": [""] }));
    let ordered = Mapping { ordered: true, ..Mapping::default() };
    let element = |name: &str, attributes: Value, content: Value| json!({ "name": name, "attributes": attributes, "content": content });
    let (none, empty) = (json!({}), json!([]));
    assert_eq!(by("<a/>", &ordered), element("a", none.clone(), empty.clone()));
    assert_eq!(
        by("<a x='1'>\n<b/>two<c> </c><b>3</b>\n</a>", &ordered),
        element(
            "a",
            json!({ "x": "1" }),
            json!([
                element("b", none.clone(), empty.clone()),
                "two",
                element("c", none.clone(), json!([" "])),
                element("b", none, json!(["3"])),
            ])
        )
    );
}

/// Senders choose their prefixes; a flow can say which ones it knows them by, and nobody else's name looks like one of those.
#[test]
fn names_of_a_namespace_can_have_the_prefix_of_the_flow() {
    let mapping = Mapping { prefixes: vec![("s".to_owned(), "urn:s".to_owned())], ..Mapping::default() };
    for (text, data) in [
        ("<x:a xmlns:x='urn:s' x:b='1' c='2'/>", json!({ "s:a": { "@s:b": "1", "@c": "2" } })),
        ("<a xmlns='urn:s' c='2'><b/></a>", json!({ "s:a": { "@c": "2", "s:b": "" } })),
        ("<a><b xmlns='urn:s'/><b/></a>", json!({ "a": { "s:b": "", "b": "" } })),
        ("<a xmlns='urn:s'><b xmlns=''/></a>", json!({ "s:a": { "b": "" } })),
        ("<s:a xmlns:s='urn:other'/>", json!({ "{urn:other}a": "" })),
        ("<s:a/>", json!({ "{}a": "" })),
        ("<o:a xmlns:o='urn:other'/>", json!({ "o:a": "" })),
    ] {
        assert_eq!(read(text.as_bytes(), None, &mapping).unwrap(), data, "{text}");
    }
    let twice = "<a xmlns:x='urn:s' xmlns:y='urn:s' x:b='1' y:b='2'/>";
    assert_eq!(code(read(twice.as_bytes(), None, &mapping)).1, "malformed_xml");
}

#[test]
fn the_encoding_is_that_of_the_mark_the_header_or_the_declaration() {
    let latin = b"<?xml version=\"1.0\" encoding='ISO-8859-1'?><a>\xe9</a>";
    assert_eq!(read(latin, None, &Mapping::default()).unwrap(), json!({ "a": "é" }));
    assert_eq!(read(b"<a>\x80</a>", Some("windows-1252"), &Mapping::default()).unwrap(), json!({ "a": "€" }));
    for (mark, to_bytes) in
        [(true, u16::to_le_bytes as fn(u16) -> [u8; 2]), (true, u16::to_be_bytes), (false, u16::to_le_bytes)]
    {
        let text = if mark { "\u{feff}<a>é</a>" } else { "<a>é</a>" };
        let wide: Vec<u8> = text.encode_utf16().flat_map(to_bytes).collect();
        assert_eq!(read(&wide, None, &Mapping::default()).unwrap(), json!({ "a": "é" }));
    }
    let claims = b"<?xml version='1.0' encoding='utf-16'?><a>\xc3\xa9</a>";
    assert_eq!(read(claims, None, &Mapping::default()).unwrap(), json!({ "a": "é" }));
    for unknown in [Some("utf-7"), Some("x-none"), Some("")] {
        assert_eq!(code(read(b"<a/>", unknown, &Mapping::default())).1, "unknown_charset", "{unknown:?}");
    }
    assert_eq!(code(read(b"<a/>", Some("iso-2022-kr"), &Mapping::default())).1, "malformed_xml");
}

/// Whatever is sent, reading it takes about as long as its length says.
#[test]
fn what_means_ill_costs_little() {
    let mapping = Mapping {
        prefixes: vec![("s".to_owned(), "urn:s".to_owned())],
        lists: (0..64).map(|n| format!("l{n}")).collect(),
        ..Mapping::default()
    };
    let names: String = (0..64).map(|n| format!(" xmlns:a{n}='urn:a'")).collect();
    let attributes: String = (0..250).map(|n| format!(" a{n}=''")).collect();
    for text in [
        format!("<a{names}>{}</a>", "<b/>".repeat(100_000)),
        format!("<a>{}</a>", format!("<b{attributes}/>").repeat(700)),
        format!("<a>{}</a>", "&amp;".repeat(200_000)),
        format!("<a>{}</a>", "<![CDATA[x]]>".repeat(80_000)),
        format!("<a>{}</a>", "<!---->".repeat(140_000)),
        format!("<{}", "a ".repeat(500_000)),
        format!("<a b='{}'/>", "&lt;".repeat(250_000)),
    ] {
        let began = std::time::Instant::now();
        let _ = read(text.as_bytes(), None, &mapping);
        assert!(began.elapsed().as_secs() < 3, "{text:.60}");
    }
}
