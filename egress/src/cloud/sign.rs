//! PURE. Signature version 4: how AWS knows who asks, and that nothing of it was changed.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::{digest, hmac};
use time::OffsetDateTime;

use super::Credentials;

/// What is signed of a request; the path is `/`.
pub(super) struct Signed<'a> {
    pub(super) method: &'a str,
    /// What follows the `?`, in canonical order.
    pub(super) query: &'a str,
    pub(super) host: &'a str,
    pub(super) content_type: &'a str,
    pub(super) body: &'a str,
    pub(super) region: &'a str,
    pub(super) service: &'a str,
}

/// A moment as AWS writes it, like `20150830T123600Z`.
pub(super) fn moment(now: SystemTime) -> String {
    let unix = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let unix = i64::try_from(unix.as_secs()).unwrap_or_default();
    let at = OffsetDateTime::from_unix_timestamp(unix).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (year, month, day) = at.to_calendar_date();
    let (hour, minute, second) = at.to_hms();
    format!(
        "{year:04}{:02}{day:02}T{hour:02}{minute:02}{second:02}Z",
        u8::from(month)
    )
}

impl Signed<'_> {
    /// The value of `authorization`, at that moment.
    pub(super) fn authorization(&self, credentials: &Credentials, moment: &str) -> String {
        let day = moment.get(..8).unwrap_or_default();
        let mut headers = format!(
            "content-type:{}\nhost:{}\nx-amz-date:{moment}\n",
            self.content_type, self.host
        );
        let mut names = "content-type;host;x-amz-date".to_owned();
        if let Some(token) = &credentials.token {
            writeln!(headers, "x-amz-security-token:{token}").ok();
            names.push_str(";x-amz-security-token");
        }
        let canonical = format!(
            "{}\n/\n{}\n{headers}\n{names}\n{}",
            self.method,
            self.query,
            hash(self.body)
        );
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let text = format!("AWS4-HMAC-SHA256\n{moment}\n{scope}\n{}", hash(&canonical));
        let mut key = format!("AWS4{}", credentials.secret).into_bytes();
        for part in [day, self.region, self.service, "aws4_request"] {
            key = mac(&key, part);
        }
        let signature = hex(&mac(&key, &text));
        format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            credentials.id
        )
    }
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

fn hash(text: &str) -> String {
    hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").ok();
        text
    })
}

/// What a value of a form or a query is written as.
pub(super) fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            write!(escaped, "%{byte:02X}").ok();
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_example_of_the_specification_has_the_signature_that_is_there() {
        let credentials = Credentials {
            id: "AKIDEXAMPLE".into(),
            secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
            token: None,
        };
        let signed = Signed {
            method: "GET",
            query: "Action=ListUsers&Version=2010-05-08",
            host: "iam.amazonaws.com",
            content_type: "application/x-www-form-urlencoded; charset=utf-8",
            body: "",
            region: "us-east-1",
            service: "iam",
        };
        let moment = moment(UNIX_EPOCH + Duration::from_secs(1_440_938_160));
        assert_eq!(moment, "20150830T123600Z");
        let authorization = signed.authorization(&credentials, &moment);
        let signature = "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";
        assert!(authorization.ends_with(signature), "{authorization}");
    }

    #[test]
    fn a_token_is_signed_too() {
        let mut credentials = Credentials {
            id: "id".into(),
            secret: "secret".into(),
            token: None,
        };
        let signed = Signed {
            method: "POST",
            query: "",
            host: "h",
            content_type: "t",
            body: "b",
            region: "r",
            service: "ec2",
        };
        let without = signed.authorization(&credentials, "20150830T123600Z");
        credentials.token = Some("token".into());
        let with = signed.authorization(&credentials, "20150830T123600Z");
        assert!(with.contains("x-amz-security-token"), "{with}");
        assert_ne!(with.rsplit('=').next(), without.rsplit('=').next());
    }

    #[test]
    fn what_is_no_letter_or_digit_is_escaped() {
        assert_eq!(escaped("a-b_c.d~e"), "a-b_c.d~e");
        assert_eq!(escaped("a b/ü"), "a%20b%2F%C3%BC");
    }
}
