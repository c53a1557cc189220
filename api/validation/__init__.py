"""Raw values of a request -> an operation's arguments, or one refusal that names every wrong field.

Pure: nothing here knows Flask.  Every bound comes from ``common.limits``; the names of fields are those of HTTP.
"""
