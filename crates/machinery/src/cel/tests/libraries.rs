//! Functions.

use super::check_plain;

#[test]
fn values_are_converted() {
    check_plain(
        r"
        int('42') ⇒ 42
        int('x') ⇒ ! type conversion error from 'string' to 'int'
        int(1.9) ⇒ 1
        int(-1.9) ⇒ -1
        int(1e99) ⇒ ! integer overflow
        int(5u) ⇒ 5
        int(18446744073709551615u) ⇒ ! integer overflow
        int(timestamp('1970-01-01T00:01:00Z')) ⇒ 60
        uint(5) ⇒ 5u
        uint(-1) ⇒ ! unsigned integer overflow
        uint('7') ⇒ 7u
        uint(-1.0) ⇒ ! unsigned integer overflow
        double('1.5') ⇒ 1.5
        double(3) ⇒ 3.0
        double('x') ⇒ ! type conversion error from 'string' to 'double'
        string(1) ⇒ '1'
        string(1u) ⇒ '1'
        string(1.5) ⇒ '1.5'
        string(true) ⇒ 'true'
        string(b'abc') ⇒ 'abc'
        string(b'\xff') ⇒ ! invalid UTF-8 in bytes, cannot convert to string
        string(duration('1m30s')) ⇒ '90s'
        string(timestamp('2024-01-02T03:04:05.5Z')) ⇒ '2024-01-02T03:04:05.5Z'
        bytes('é') ⇒ b[195, 169]
        bool('true') ⇒ true
        bool('x') ⇒ ! type conversion error from 'string' to 'bool'
        duration('1h') - duration('30m') == duration('1800s') ⇒ true
        duration('x') ⇒ ? invalid duration argument
        duration(dyn('x')) ⇒ ! type conversion error from 'string' to 'google.protobuf.Duration'
        timestamp('x') ⇒ ? invalid timestamp argument
        timestamp(60) == timestamp('1970-01-01T00:01:00Z') ⇒ true
        dyn(1) ⇒ 1
        ",
    );
}

#[test]
fn times_are_looked_into() {
    check_plain(
        r"
        timestamp('2024-02-29T12:34:56.789Z').getFullYear() ⇒ 2024
        timestamp('2024-02-29T12:34:56.789Z').getMonth() ⇒ 1
        timestamp('2024-02-29T12:34:56.789Z').getDate() ⇒ 29
        timestamp('2024-02-29T12:34:56.789Z').getDayOfMonth() ⇒ 28
        timestamp('2024-02-29T12:34:56.789Z').getDayOfWeek() ⇒ 4
        timestamp('2024-02-29T12:34:56.789Z').getDayOfYear() ⇒ 59
        timestamp('2024-02-29T12:34:56.789Z').getHours() ⇒ 12
        timestamp('2024-02-29T12:34:56.789Z').getMinutes() ⇒ 34
        timestamp('2024-02-29T12:34:56.789Z').getSeconds() ⇒ 56
        timestamp('2024-02-29T12:34:56.789Z').getMilliseconds() ⇒ 789
        timestamp('2024-02-29T12:34:56Z').getHours('America/New_York') ⇒ 7
        timestamp('2024-02-29T12:34:56Z').getHours('+02:30') ⇒ 15
        timestamp('2024-02-29T12:34:56Z').getMinutes('+02:30') ⇒ 4
        timestamp('2024-02-29T12:34:56Z').getHours('-02:30') ⇒ 10
        timestamp('2024-02-29T12:34:56Z').getHours('Nowhere/Town') ⇒ ! unknown time zone Nowhere/Town
        duration('90m').getHours() ⇒ 1
        duration('90m').getMinutes() ⇒ 90
        duration('90m').getSeconds() ⇒ 5400
        duration('1500ms').getMilliseconds() ⇒ 1500
        duration('1h').getFullYear() ⇒ ? found no matching overload for 'getFullYear' applied to 'duration.()'
        timestamp('2024-01-01T00:00:00Z') + duration('24h') == timestamp('2024-01-02T00:00:00Z') ⇒ true
        duration('24h') + timestamp('2024-01-01T00:00:00Z') == timestamp('2024-01-02T00:00:00Z') ⇒ true
        timestamp('2024-01-02T00:00:00Z') - timestamp('2024-01-01T00:00:00Z') == duration('24h') ⇒ true
        timestamp('2024-01-02T00:00:00Z') > timestamp('2024-01-01T00:00:00Z') ⇒ true
        timestamp('9999-12-31T23:59:59Z') + duration('1s') ⇒ ! timestamp overflow
        duration('9223372036s') + duration('9223372036s') ⇒ ! duration overflow
        ",
    );
}

#[test]
fn texts_are_worked_on() {
    check_plain(
        r"
        'hello'.contains('ell') ⇒ true
        '%s has %d'.format(['a', 3]) ⇒ 'a has 3'
        '%s'.format(['a'.contains([1, 'b'][1]) ? 'c' : 'd', 1]) ⇒ 'd'
        ['a', 3] ⇒ ? expected type 'string' but found 'int'
        'hello'.startsWith('he') ⇒ true
        'hello'.endsWith('lo') ⇒ true
        'héllo'.charAt(1) ⇒ 'é'
        'hello'.charAt(5) ⇒ ''
        'hello'.charAt(6) ⇒ ! index out of range: 6
        'hello'.charAt(-1) ⇒ ! index out of range: -1
        'hello mellow'.indexOf('ello') ⇒ 1
        'hello mellow'.indexOf('jello') ⇒ -1
        'hello mellow'.indexOf('', 2) ⇒ 2
        'hello mellow'.indexOf('ello', 2) ⇒ 7
        'hello mellow'.indexOf('ello', 20) ⇒ -1
        'hello mellow'.indexOf('ello', -1) ⇒ ! index out of range: -1
        'hello mellow'.lastIndexOf('ello') ⇒ 7
        'hello mellow'.lastIndexOf('jello') ⇒ -1
        'hello mellow'.lastIndexOf('ello', 6) ⇒ 1
        'hello mellow'.lastIndexOf('ello', -1) ⇒ ! index out of range: -1
        'HéLLO'.lowerAscii() ⇒ 'héllo'
        'hello'.upperAscii() ⇒ 'HELLO'
        'hello hello'.replace('he', 'we') ⇒ 'wello wello'
        'hello hello'.replace('he', 'we', 1) ⇒ 'wello hello'
        'hello hello'.replace('he', 'we', 0) ⇒ 'hello hello'
        'hello hello'.replace('he', 'we', -1) ⇒ 'wello wello'
        'ab'.replace('', '_') ⇒ '_a_b_'
        'a b c'.split(' ') ⇒ ['a', 'b', 'c']
        'a b c'.split(' ', 0) ⇒ []
        'a b c'.split(' ', 1) ⇒ ['a b c']
        'a b c'.split(' ', 2) ⇒ ['a', 'b c']
        'abc'.split('') ⇒ ['a', 'b', 'c']
        'abc'.split('', 2) ⇒ ['a', 'bc']
        'tacocat'.substring(4) ⇒ 'cat'
        'tacocat'.substring(0, 4) ⇒ 'taco'
        'tacocat'.substring(8) ⇒ ! invalid substring range. start: 8, end: 7
        'tacocat'.substring(2, 1) ⇒ ! invalid substring range. start: 2, end: 1
        'tacocat'.substring(-1) ⇒ ! index out of range: -1
        '  a '.trim() ⇒ 'a'
        ['a', 'b'].join() ⇒ 'ab'
        ['a', 'b'].join(', ') ⇒ 'a, b'
        [1].join() ⇒ ? found no matching overload for 'join' applied to 'list(int).()'
        strings.quote('a\n') == '\x22a\x5cn\x22' ⇒ true
        'hello'.matches('^h.*o$') ⇒ true
        matches('hello', 'l+') ⇒ true
        'hello'.matches('(') ⇒ ? invalid matches argument
        'hello'.matches(dyn('(')) == true || true ⇒ true
        'abc 123 def 456'.find('[0-9]+') ⇒ '123'
        'abc'.find('[0-9]+') ⇒ ''
        'a1b2c3'.findAll('[0-9]') ⇒ ['1', '2', '3']
        'a1b2c3'.findAll('[0-9]', 2) ⇒ ['1', '2']
        'a1'.findAll('[0-9]', 0) ⇒ []
        'ab'.foo() ⇒ ? undeclared reference to 'foo' (in container '')
        'a'.startsWith(1) ⇒ ? found no matching overload for 'startsWith' applied to 'string.(int)'
        ",
    );
}

#[test]
fn values_are_put_into_texts() {
    check_plain(
        r#"
        'this is a string: %s, and %d'.format([dyn('str'), 42]) ⇒ 'this is a string: str, and 42'
        '%d%%'.format([5]) ⇒ '5%'
        '%.2f'.format([1.239]) ⇒ '1.24'
        '%f'.format([1.5]) ⇒ '1.500000'
        '%e'.format([1052.032911275]) ⇒ '1.052033×10⁰³'
        '%.1e'.format([0.00025]) ⇒ '2.5×10⁻⁰⁴'
        '%.3e'.format([0.00012]) ⇒ '1.200×10⁻⁰⁴'
        '%b %b'.format([5, -5]) ⇒ '101 -101'
        '%b'.format([true]) ⇒ '1'
        '%o'.format([8]) ⇒ '10'
        '%x %X'.format([30, 30]) ⇒ '1e 1E'
        '%x'.format(['hi']) ⇒ '6869'
        '%s'.format([[1, 2]]) ⇒ '[1, 2]'
        '%s'.format([{'b': 1.5, 'a': 'x'}]) ⇒ '{"a":"x", "b":1.500000}'
        '%s'.format([[duration('90s'), b'a', true]]) ⇒ '[duration("90s"), b"a", true]'
        '%s %s'.format([dyn(null), true]) ⇒ 'null true'
        '%s'.format([timestamp('2024-01-01T00:00:00Z')]) ⇒ '2024-01-01T00:00:00Z'
        '%s'.format([duration('1h')]) ⇒ '3600s'
        '%s'.format([type(1)]) ⇒ 'int'
        '%s'.format([]) ⇒ ! error during formatting: index 0 out of range
        '%d'.format(['a']) ⇒ ! error during formatting: decimal clause can only be used on integers, was given string
        '%q'.format([1]) ⇒ ! error during formatting: unrecognized formatting clause "q"
        '%'.format([1]) ⇒ ! error during formatting: unexpected end of string
        "#,
    );
}

#[test]
fn lists_and_sets_are_worked_on() {
    check_plain(
        r"
        [1, 2, 2].isSorted() ⇒ true
        [2, 1].isSorted() ⇒ false
        ['a', 'b'].isSorted() ⇒ true
        [].isSorted() ⇒ true
        [1, 2, 3].sum() ⇒ 6
        [1.5, 1.5].sum() ⇒ 3.0
        [duration('1m'), duration('1s')].sum() == duration('61s') ⇒ true
        [].sum() ⇒ 0
        ['a'].sum() ⇒ ? found no matching overload for 'sum' applied to 'list(string).()'
        [1, 3, 2].max() ⇒ 3
        [1, 3, 2].min() ⇒ 1
        ['b', 'a'].min() ⇒ 'a'
        [].max() ⇒ ! max called on empty list
        [1, 2, 2, 3].indexOf(2) ⇒ 1
        [1, 2, 2, 3].lastIndexOf(2) ⇒ 2
        [1].indexOf(5) ⇒ -1
        sets.contains([1, 2, 3], [2, 1]) ⇒ true
        sets.contains([1], [2]) ⇒ false
        sets.equivalent([1, 2, 2], [2, 1]) ⇒ true
        sets.intersects([1, 2], [2, 3]) ⇒ true
        sets.intersects([1], [2]) ⇒ false
        ",
    );
}

#[test]
fn amounts_are_worked_on() {
    check_plain(
        r"
        isQuantity('100Mi') ⇒ true
        isQuantity('100x') ⇒ false
        quantity('1Gi').isGreaterThan(quantity('1Mi')) ⇒ true
        quantity('1Gi').isLessThan(quantity('1Mi')) ⇒ false
        quantity('200M').compareTo(quantity('0.2G')) ⇒ 0
        quantity('1k').compareTo(quantity('2k')) ⇒ -1
        quantity('50k').add(quantity('20k')) == quantity('70k') ⇒ true
        quantity('50k').add(20) == quantity('50020') ⇒ true
        quantity('50k').sub(quantity('20k')) == quantity('30k') ⇒ true
        sign(quantity('-5')) ⇒ -1
        quantity('5').isInteger() ⇒ true
        quantity('5m').isInteger() ⇒ false
        quantity('5k').asInteger() ⇒ 5000
        quantity('5m').asInteger() ⇒ ! cannot convert value to integer
        quantity('50m').asApproximateFloat() ⇒ 0.05
        quantity('x') ⇒ ! quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'
        type(quantity('1')) == kubernetes.Quantity ⇒ true
        ",
    );
}

#[test]
fn addresses_are_looked_into() {
    check_plain(
        r"
        isURL('https://example.com:80/path') ⇒ true
        isURL('https://a:b:c/') ⇒ false
        isURL('../relative') ⇒ false
        isURL('/absolute') ⇒ true
        url('https://user:pass@example.com:80/path').getHost() ⇒ 'example.com:80'
        url('https://example.com:80/').getHostname() ⇒ 'example.com'
        url('https://[::1]:80/').getHost() ⇒ '[::1]:80'
        url('https://[::1]:80/').getHostname() ⇒ '::1'
        url('https://[::1]/').getPort() ⇒ ''
        url('https://example.com:80/').getPort() ⇒ '80'
        url('/path').getScheme() ⇒ ''
        url('HTTPS://example.com').getScheme() ⇒ 'https'
        url('https://example.com').getEscapedPath() ⇒ ''
        url('https://example.com/path with spaces/').getEscapedPath() ⇒ '/path%20with%20spaces/'
        url('https://example.com/path?k1=a&k2=b&k2=c#frag').getQuery() ⇒ {'k1': ['a'], 'k2': ['b', 'c']}
        url('https://example.com/path?a%20b=c+d').getQuery() ⇒ {'a b': ['c d']}
        url('https://example.com/path').getQuery() ⇒ {}
        isIP('1.2.3.4') ⇒ true
        isIP('1.2.3') ⇒ false
        isIP('::ffff:1.2.3.4') ⇒ false
        isIP('fe80::1%eth0') ⇒ false
        ip('1.2.3.4').family() ⇒ 4
        ip('::1').family() ⇒ 6
        ip('127.0.0.1').isLoopback() ⇒ true
        ip('0.0.0.0').isUnspecified() ⇒ true
        ip('169.254.0.1').isLinkLocalUnicast() ⇒ true
        ip('fe80::1').isLinkLocalUnicast() ⇒ true
        ip('224.0.0.1').isLinkLocalMulticast() ⇒ true
        ip('ff02::1').isLinkLocalMulticast() ⇒ true
        ip('10.0.0.1').isGlobalUnicast() ⇒ true
        ip('255.255.255.255').isGlobalUnicast() ⇒ false
        ip.isCanonical('2001:db8::1') ⇒ true
        ip.isCanonical('2001:DB8::1') ⇒ false
        ip('1.2.3.4') == ip('1.2.3.4') ⇒ true
        string(ip('2001:DB8::1')) ⇒ '2001:db8::1'
        isCIDR('10.0.0.0/8') ⇒ true
        isCIDR('10.0.0.0/33') ⇒ false
        isCIDR('10.0.0.0') ⇒ false
        cidr('10.0.0.0/8').containsIP('10.1.2.3') ⇒ true
        cidr('10.0.0.0/8').containsIP(ip('11.1.2.3')) ⇒ false
        cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') ⇒ true
        cidr('10.1.0.0/16').containsCIDR(cidr('10.0.0.0/8')) ⇒ false
        cidr('::/0').containsIP('::1') ⇒ true
        cidr('0.0.0.0/0').containsIP('::1') ⇒ false
        cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8') ⇒ true
        cidr('10.1.2.3/8').prefixLength() ⇒ 8
        cidr('10.1.2.3/8').ip() == ip('10.1.2.3') ⇒ true
        string(cidr('10.0.0.0/8')) ⇒ '10.0.0.0/8'
        ",
    );
}

#[test]
fn versions_and_formats_are_known() {
    check_plain(
        r"
        isSemver('1.0.0') ⇒ true
        isSemver('1.0') ⇒ false
        isSemver('v1.0', true) ⇒ true
        isSemver('01.0.0') ⇒ false
        isSemver('01.01.01', true) ⇒ true
        isSemver('1.0.0-rc.1+build.5') ⇒ true
        isSemver('1.0.0-') ⇒ false
        semver('1.2.3').major() ⇒ 1
        semver('1.2.3').minor() ⇒ 2
        semver('1.2.3').patch() ⇒ 3
        semver('1.2.3').isLessThan(semver('2.0.0')) ⇒ true
        semver('1.2.3').isGreaterThan(semver('1.2.3-rc.1')) ⇒ true
        semver('1.0.0-alpha.2').compareTo(semver('1.0.0-alpha.10')) ⇒ -1
        semver('1.0.0-1').compareTo(semver('1.0.0-alpha')) ⇒ -1
        semver('x') ⇒ ! No Major.Minor.Patch elements found
        format.dns1123Label().validate('ok-name').hasValue() ⇒ false
        format.dns1123Label().validate('Not OK').hasValue() ⇒ true
        format.dns1123LabelPrefix().validate('prefix-').hasValue() ⇒ false
        format.dns1123Subdomain().validate('a.b').hasValue() ⇒ false
        format.qualifiedName().validate('a.b/c').hasValue() ⇒ false
        format.labelValue().validate('-').hasValue() ⇒ true
        format.uri().validate('https://a').hasValue() ⇒ false
        format.uuid().validate('123e4567-e89b-12d3-a456-426614174000').hasValue() ⇒ false
        format.uuid().validate('x').value() ⇒ ['does not match the UUID format']
        format.byte().validate('aGVsbG8=').hasValue() ⇒ false
        format.byte().validate('!').value() ⇒ ['invalid base64']
        format.date().validate('2021-01-01').hasValue() ⇒ false
        format.date().validate('2021-13-01').value() ⇒ ['invalid date']
        format.datetime().validate('2021-01-01T00:00:00Z').hasValue() ⇒ false
        format.named('dns1123Label').hasValue() ⇒ true
        format.named('nothing').hasValue() ⇒ false
        format.nothing() ⇒ ? undeclared reference to 'format' (in container '') ¦ undeclared reference to 'nothing' (in container '')
        jsonpatch.escapeKey('a/b~c') ⇒ 'a~1b~0c'
        ",
    );
}
