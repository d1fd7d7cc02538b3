module ringback

go 1.25
