package secrets

import (
	"encoding/xml"
	"errors"
	"net/http"
	"net/url"
	"time"
)

// awsSession is the name under which AWS logs what the agent does.
const awsSession = "berth"

// assumes says whether the agent asks STS for the role.
func (a AWSIdentity) assumes() bool { return a.Role != "" && a.TokenFile != "" }

// awsCredentials returns those of the agent's role.
func (i *Identity) awsCredentials(region string) (awsCredentials, error) {
	switch {
	case i == nil:
		return awsCredentials{}, errNoKey
	case i.AWS.assumes():
		if i.AWS.Region != "" {
			region = i.AWS.Region
		}
		return i.aws.get("", i.Now(), func() (awsCredentials, time.Time, error) { return i.assumeRole(region) })
	case i.AWS.CredentialsURL != "":
		return i.aws.get("", i.Now(), i.askForCredentials)
	}
	return awsCredentials{}, errNoKey
}

// awsSessionCredentials are credentials as STS and the Pod Identity agent name their parts.
type awsSessionCredentials struct {
	ID      string `json:"AccessKeyId" xml:"AccessKeyId"`
	Secret  string `json:"SecretAccessKey" xml:"SecretAccessKey"`
	Session string `json:"Token" xml:"SessionToken"`
	// Expiration is missing where credentials do not end.
	Expiration time.Time `json:"Expiration" xml:"Expiration"`
}

func (c awsSessionCredentials) taken() (awsCredentials, time.Time, error) {
	if c.ID == "" || c.Secret == "" || c.Session == "" {
		return awsCredentials{}, time.Time{}, errors.New("the answer holds no credentials")
	}
	return awsCredentials{c.ID, c.Secret, c.Session}, c.Expiration, nil
}

// assumeRole shows STS the token of the agent's service account.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
func (i *Identity) assumeRole(region string) (awsCredentials, time.Time, error) {
	if !awsRegion.MatchString(region) {
		return awsCredentials{}, time.Time{}, errors.New("the region of the agent's role is none of AWS")
	}
	token, err := tokenIn(i.AWS.TokenFile)
	if err != nil {
		return awsCredentials{}, time.Time{}, err
	}
	form := url.Values{"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"},
		"RoleArn": {i.AWS.Role}, "RoleSessionName": {awsSession}, "WebIdentityToken": {token}}
	var answer struct {
		Result struct {
			Credentials awsSessionCredentials `xml:"Credentials"`
		} `xml:"AssumeRoleWithWebIdentityResult"`
	}
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	err = i.exchange(http.MethodPost, "https://"+awsHost("sts", region)+"/", header, []byte(form.Encode()),
		func(content []byte, _ http.Header) error { return xml.Unmarshal(content, &answer) })
	if err != nil {
		return awsCredentials{}, time.Time{}, err
	}
	return answer.Result.Credentials.taken()
}

// askForCredentials asks the Pod Identity agent of the node.
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
func (i *Identity) askForCredentials() (awsCredentials, time.Time, error) {
	header := http.Header{"Accept": {"application/json"}}
	if i.AWS.CredentialsTokenFile != "" {
		token, err := tokenIn(i.AWS.CredentialsTokenFile)
		if err != nil {
			return awsCredentials{}, time.Time{}, err
		}
		header.Set("Authorization", token)
	}
	var answer awsSessionCredentials
	if err := i.get(i.AWS.CredentialsURL, header, &answer); err != nil {
		return awsCredentials{}, time.Time{}, err
	}
	return answer.taken()
}
