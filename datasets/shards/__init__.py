"""The stored form of a data set: tars, their index, tables of samples, verification."""
