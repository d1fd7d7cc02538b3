use super::super::certificate::Certificate;
use super::{Sns, host_of, names_at};
use crate::verify::Proof;
use crate::verify::tests::callback;
use ringback_records::stop::Stop;
use ringback_records::time::Timestamp;
use serde_json::{Value, json};

/// The messages and the certificate, which counted in 2022, of the tests of AWS's library for Ruby (gems/aws-sdk-sns/spec/message_verifier_spec.rb;
/// Apache-2.0).
const CERTIFICATE: &str = include_str!("certificate.pem");
const URL: &str = "https://sns.us-east-2.amazonaws.com/SimpleNotificationService-7ff5318490ec183fbaddaa2a969abfda.pem";
/// 2022-07-28T21:24:00Z.
const NOW: u64 = 1_659_043_440;

fn messages() -> [Value; 2] {
    [
        json!({
            "Type": "Notification", "MessageId": "792cda85-518f-5dd3-9163-81d851212f3a", "Message": "Hello world",
            "TopicArn": "arn:aws:sns:us-east-2:295079676684:publish-and-verify-892f85fe-4836-424d-8188-ab85bef0f362",
            "Timestamp": "2022-07-28T21:23:58.317Z", "SignatureVersion": "1", "SigningCertURL": URL,
            "Signature": "ghtf+deOBAzHJJZ6s6CdRLfTQAlcGzq9naoFM1wi0CJiq//uVRuZnamrkWNF0fhouMFvuLVRwcz8PZLUMSfnmd5VpdTKpTyiKmy1qJAZXma0w+yi7G+I33hD1Jyk1Nbym2n0kqp3fVu2aoooiN2ZeLAT2bH0/BtjLSfN1yAOKNoprco4qV9gGUZinXJdj9a1YdNhDR2jKi33ldlsVtEXAtiaDklGEk7DgRKX38GerBPiLg3FdtgY6KC7cdeGpU/dGK+4hjc83Ive1HoFkAwqhpgInM2sMytBosoiXfCmOKmU4xeGD0gHDNZTlJUJQDlzw8Eag0H9f/5zXF9d3uy0YQ==",
        }),
        json!({
            "Type": "Notification", "MessageId": "17dea24b-55c2-540b-8362-f916557af765", "Message": "Hello world",
            "TopicArn": "arn:aws:sns:us-east-2:295079676684:publish-and-verify-62674b1d-4295-426b-88e7-5fb75652a04e",
            "Timestamp": "2022-07-28T21:24:08.324Z", "SignatureVersion": "2", "SigningCertURL": URL,
            "Signature": "CXVqp9PfZAL+4JHS3Zxo1PFbQsvnOjvmYhtIf17TWpwc+iIVas8kZ8GopuzVzVMdatE7rCl/O4P91Zp05Dwz8lk8dLhfp8gSu3Njlzxlyrmzo9x3va3Jb7zFnedgS2GKnZWHGBdwTXho+TosNUE+3e10OMSlwN5XGDwX7+R3WL+rn+AXmFAqp3alg27sYa55h1dLE9cGszGPjScPdtF3BmZsUDMx9wSdNKsCk+vSvE8yBjnCmUl7laSFj3LzPVrlSwgNYCF3kYnNAkah7NplK4SFhJYLwS0HCVCQJKa8rVbQLf9cBTu60U402mrgy0bN8xWoyimzbYbrOMJjalqkUg==",
        }),
    ]
}

fn topics() -> Sns {
    let topics = messages().iter().map(|message| message["TopicArn"].as_str().unwrap().to_owned()).collect();
    Sns { topics, confirm: false }
}

fn check(message: &Value, pem: &[u8], now: u64) -> Result<Proof, Stop> {
    let read = topics().read(&callback(&[], message.to_string().as_bytes()).request)?;
    read.verify(pem, Timestamp::from_millis(now * 1000))
}

fn refused(message: &Value, pem: &[u8], now: u64, expected: &str) {
    let stop = check(message, pem, now).unwrap_err();
    assert_eq!((stop.problem.status, stop.reason.contains(expected)), (401, true), "{expected}: {}", stop.reason);
}

#[test]
fn what_sns_signed_is_accepted_and_nothing_else() {
    let pem = CERTIFICATE.as_bytes();
    for message in messages() {
        let proof = check(&message, pem, NOW).unwrap_or_else(|stop| panic!("{}", stop.reason));
        assert_eq!((proof.delivery_id.as_deref(), proof.id_is_signed), (message["MessageId"].as_str(), true));
        for name in ["Message", "MessageId", "Timestamp", "Signature"] {
            let text = message[name].as_str().unwrap();
            for place in 0..text.len() {
                let mut bytes = text.as_bytes().to_vec();
                bytes[place] ^= 1;
                let mut altered = message.clone();
                altered[name] = String::from_utf8(bytes).unwrap().into();
                assert_eq!(check(&altered, pem, NOW).unwrap_err().problem.status, 401, "{name} {place}");
            }
            let mut without = message.clone();
            without.as_object_mut().unwrap().remove(name);
            refused(&without, pem, NOW, &format!("no `{name}`"));
        }
        let with = |name: &str, value: &str| {
            let mut altered = message.clone();
            altered[name] = value.into();
            altered
        };
        refused(&with("Subject", "added"), pem, NOW, "not that of its certificate");
        refused(&with("Type", "Other"), pem, NOW, "`Type`");
        refused(&with("Type", "UnsubscribeConfirmation"), pem, NOW, "no `SubscribeURL`");
        refused(&with("SignatureVersion", "3"), pem, NOW, "neither 1 nor 2");
        refused(&with("TopicArn", "arn:aws:sns:us-east-2:1:somebody"), pem, NOW, "not among the `topics`");
        let other = if message["SignatureVersion"] == "1" { "2" } else { "1" };
        refused(&with("SignatureVersion", other), pem, NOW, "not that of its certificate");
        refused(&message, pem, NOW + 3700, "s old");
        // The certificate counted for a year.
        refused(&message, pem, 1_661_000_000, "does not count now");
        refused(&message, pem, 1_600_000_000, "does not count now");
        for wrong in [&b""[..], b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", &pem[1..], &pem[..900]]
        {
            refused(&message, wrong, NOW, "is no certificate");
        }
    }
}

/// Nobody is asked for a certificate elsewhere, and nobody else's counts.
#[test]
fn certificates_come_from_hosts_of_sns_alone() {
    for wrong in [
        "",
        "nothing",
        "http://sns.us-east-2.amazonaws.com/a.pem",
        "https://sns.us-east-2.amazonaws.com/a.key",
        "https://sns.us-east-2.amazonaws.com/a.pem?b",
        "https://sns.us-east-2.amazonaws.com:444/a.pem",
        "https://user@sns.us-east-2.amazonaws.com/a.pem",
        "https://sns.us-east-2.amazonaws.com.evil.example/a.pem",
        "https://evil.example/sns.us-east-2.amazonaws.com/a.pem",
        "https://evil.example#sns.us-east-2.amazonaws.com/a.pem",
        "https://sns.us-east-2.amazonaws.com@evil.example/a.pem",
        "https://sns.a.b.amazonaws.com/a.pem",
        "https://snsxus-east-2.amazonaws.com/a.pem",
        "https://bucket.s3.amazonaws.com/a.pem",
        "https://sns.s3.us-east-1.amazonaws.com/a.pem",
        "https://sns..amazonaws.com/a.pem",
        "https://127.0.0.1/a.pem",
    ] {
        let mut message = messages()[0].clone();
        message["SigningCertURL"] = wrong.into();
        let stop = topics().read(&callback(&[], message.to_string().as_bytes()).request).unwrap_err();
        assert!(stop.reason.contains("`SigningCertURL`"), "{wrong}: {}", stop.reason);
    }
    for right in [URL, "https://sns.cn-north-1.amazonaws.com.cn/a.pem", "https://sns.us-gov-west-1.amazonaws.com/a.pem"]
    {
        assert!(host_of(right).is_some(), "{right}");
    }
    for (host, name, expected) in [
        ("sns.us-east-2.amazonaws.com", "sns.amazonaws.com", true),
        ("sns.us-east-2.amazonaws.com", "sns-signing.us-east-2.amazonaws.com", true),
        ("sns.us-east-2.amazonaws.com", "sns-signing.me-south-1.amazonaws.com", false),
        ("sns.cn-north-1.amazonaws.com.cn", "sns-cn-north-1.amazonaws.com.cn", true),
        ("sns.cn-north-1.amazonaws.com.cn", "sns.amazonaws.com", false),
        ("sns.us-gov-east-1.amazonaws.com", "sns-us-gov-west-1.amazonaws.com", true),
        ("sns.us-east-2.amazonaws.com", "evil.example", false),
    ] {
        assert_eq!(names_at(host).iter().any(|known| known == name), expected, "{host} {name}");
    }
    // The certificate of one region signs for no other with names of its own.
    let mut message = messages()[0].clone();
    message["SigningCertURL"] = "https://sns.cn-north-1.amazonaws.com.cn/a.pem".into();
    refused(&message, CERTIFICATE.as_bytes(), NOW, "which does not sign for");
}

#[test]
fn a_subscription_is_confirmed_at_sns_alone() {
    let read = |subscribe: &str| {
        let mut message = messages()[0].clone();
        message["Type"] = "SubscriptionConfirmation".into();
        message["Token"] = "token".into();
        message["SubscribeURL"] = subscribe.into();
        topics().read(&callback(&[], message.to_string().as_bytes()).request)
    };
    assert!(read("https://evil.example/?Action=ConfirmSubscription").unwrap_err().reason.contains("`SubscribeURL`"));
    let url = "https://sns.us-east-2.amazonaws.com/?Action=ConfirmSubscription&Token=token";
    let message = read(url).unwrap();
    assert_eq!(message.subscribe_url.as_deref(), Some(url));
    let stop = message.verify(CERTIFICATE.as_bytes(), Timestamp::from_millis(NOW * 1000)).unwrap_err();
    assert!(stop.reason.contains("not that of its certificate"), "{}", stop.reason);
}

#[test]
fn a_certificate_that_is_cut_or_changed_is_read_as_one_or_not_at_all() {
    let certificate = Certificate::from_pem(CERTIFICATE.as_bytes()).unwrap();
    assert_eq!(
        (certificate.common_name.as_str(), certificate.not_before, certificate.not_after),
        ("sns.amazonaws.com", 1_630_972_800, 1_660_780_799)
    );
    let text = CERTIFICATE.trim();
    for end in 0..text.len() {
        assert_eq!(Certificate::from_pem(&text.as_bytes()[..end]), None, "{end}");
    }
    for place in 0..text.len() {
        let mut bytes = text.as_bytes().to_vec();
        bytes[place] ^= 1;
        // No change makes it panic.
        let _ = Certificate::from_pem(&bytes);
    }
}
